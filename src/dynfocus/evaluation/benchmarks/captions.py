"""BLEU-4, METEOR, ROUGE-L and CIDEr of answers, by pycocoevalcap with its PTB tokeniser.

They differ from the figures of SlowFocus, whose script hands raw strings to the scorers
and lets equal ids overwrite each other. Java runs the tokeniser and METEOR; no package
that does without it has all four by the rules that papers use.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from collections.abc import Sequence

from dynfocus.evaluation.benchmarks.benchmark import Figure
from dynfocus.evaluation.metrics import Estimate, Record

_logger = logging.getLogger(__name__)


def caption_figures(records: Sequence[Record], kind: str) -> list[Figure]:
    """Make the four figures, from 0 to 1 (CIDEr above), or none where tools are missing.

    Args:
        records: Records with ``answer`` and ``truth``; an answer that is not there is
            empty.
        kind: What the labels say.
    """
    why = missing_tools()
    if why is not None:
        _logger.warning("no caption figures of %s: %s", kind, why)
        return []
    replies = [str(record.get("answer") or "") for record in records]
    found = score_captions(replies, [str(record["truth"]) for record in records])
    return [
        Figure(
            label=f"{name}, {kind}",
            estimate=Estimate(value),
            num_questions=len(records),
            unit="of 1",
        )
        for name, value in found.items()
    ]


def missing_tools() -> str | None:
    """Say what the four figures lack; None for nothing."""
    if shutil.which("java") is None:
        return "they need java; install a runtime, such as default-jre-headless"
    try:
        import pycocoevalcap  # noqa: F401
    except ImportError:
        return "they need pycocoevalcap; run pip install 'dynfocus[eval]'"
    return None


def score_captions(replies: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
    """Score replies against one reference each.

    Args:
        replies: What was said.
        truths: What is right.

    Returns:
        ``B@4``, ``M``, ``R`` and ``C``.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    with contextlib.redirect_stdout(io.StringIO()):  # they print
        said, true = (
            PTBTokenizer().tokenize(
                {n: [{"caption": text}] for n, text in enumerate(some)}
            )
            for some in (replies, truths)
        )
        return {
            "B@4": float(Bleu(4).compute_score(true, said)[0][3]),
            "M": float(Meteor().compute_score(true, said)[0]),
            "R": float(Rouge().compute_score(true, said)[0]),
            "C": float(Cider().compute_score(true, said)[0]),
        }
