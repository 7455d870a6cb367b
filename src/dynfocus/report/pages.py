"""Self-contained HTML pages from templates: style and pictures inside the file."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from dynfocus.report.lettering import format_time

_MINUTE = 60.0


def render(template: str, **values: Any) -> str:
    """Fill a template of ``report/templates``; text is made harmless inside HTML.

    Args:
        template: Name of its file.
        **values: What its names stand for.
    """
    return _environment().get_template(template).render(values)


def data_uri(picture: NDArray[np.uint8]) -> str:
    """Encode a picture, uint8 ``[H, W, 3]``, as a JPEG inside an address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dynfocus.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["time"] = _time_in
    return environment


def _time_in(seconds: float, duration: float) -> str:
    """Write a time of a video; with tenths where that is shorter than a minute."""
    return format_time(seconds, with_tenths=duration < _MINUTE)
