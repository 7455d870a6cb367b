"""Self-contained HTML pages: style and pictures inside the file, nothing from a network."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STYLE = """
:root{--ink:#1c1e22;--faint:#69707a;--paper:#fafaf8;--card:#fff;--line:#e3e4e6;
--cone:#e08a1e;--rod:#8fa3bf;--score:#3b5b92;--evidence:#bfe3c3;--good:#2e7d4f;--bad:#b3402f}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:32px 24px 64px;background:var(--paper);
color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:26px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:19px;line-height:1.35;margin:0 0 10px;overflow-wrap:anywhere}
h3{font-size:16px;margin:22px 0 4px}
p{margin:6px 0}
.faint{color:var(--faint);font-size:14px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:20px 22px;margin:22px 0}
.answer{font-size:18px;overflow-wrap:anywhere}
.answer b{font-weight:650}
.mark{display:inline-block;border-radius:4px;padding:0 8px;font-size:13px;color:#fff;
margin-left:8px;vertical-align:2px}
.right{background:var(--good)}.wrong{background:var(--bad)}
svg{display:block;width:100%}
svg.timeline{margin:12px 0 4px}
svg.strip{height:34px;border-radius:4px;margin:14px 0 20px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--faint)}
.legend i{display:inline-block;width:12px;height:12px;border-radius:2px;
margin-right:6px;vertical-align:-1px}
table{border-collapse:collapse;width:100%;font-size:14px;margin:10px 0}
th,td{text-align:left;padding:5px 10px;border-bottom:1px solid var(--line);
vertical-align:top}
th{font-weight:600;color:var(--faint)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{display:flex;height:14px;background:#eef0f2;border-radius:3px;overflow:hidden;
margin:10px 0 4px}
.bar i{display:block;height:100%}
.cone{background:var(--cone)}.rod{background:var(--rod)}.score{background:var(--score)}
.evidence{background:var(--evidence)}
.thumbs{display:grid;grid-template-columns:repeat(auto-fill,minmax(112px,1fr));gap:8px;
margin-top:14px}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,320px));gap:14px;
margin-top:14px}
.maps figure img{border-radius:4px;width:auto;max-width:100%}
.maps figcaption{padding:4px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:18px}
figure{margin:0}
figure img{display:block;width:100%;border-radius:4px 4px 0 0}
.tiles figure{border-bottom:6px solid;background:var(--card)}
.tiles figcaption{padding:6px 8px}
.thumbs img{border-bottom:3px solid var(--cone)}
.thumbs .hit img{border-bottom-color:var(--good)}
figcaption{font-size:13px;color:var(--faint);font-variant-numeric:tabular-nums}
a{color:inherit}
"""


def page(title: str, body: str) -> str:
    """Wrap a body in a complete HTML document with the style inside."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )


def escape(text: str) -> str:
    """Make text harmless inside HTML, attributes included."""
    return html.escape(text, quote=True)


def data_uri(picture: NDArray[np.uint8]) -> str:
    """Encode a picture, uint8 ``[H, W, 3]``, as a JPEG inside an address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
