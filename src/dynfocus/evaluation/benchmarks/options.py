"""What changes a published figure of a benchmark, each an option with its default.

Harnesses differ in these points, and a figure without them cannot be compared. All of
them are written into every result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

from dynfocus.validation import checked, from_mapping

Handling = Literal["wrong", "dropped"]


@checked
class BenchmarkOptions:
    """How the questions of a benchmark are put, read and counted."""

    split: str | None = None
    """Which split the annotations must be; by default the benchmark's usual one. Copies
    of MSVD-QA and MSRVTT-QA hold the validation split under the name of the test."""
    subtitles: Literal["none", "frames", "all"] = "none"
    """Subtitles beside the question: those at the times of the sampled frames, as
    Video-MME asks for, or all of them."""
    prompt: Literal["official", "lmms-eval"] = "official"
    """Whose words stand around a question; a request to be brief raises judged accuracy."""
    parsing: Literal["strict", "official", "lmms-eval"] = "strict"
    """Who finds the letter in a reply: our extractor, which takes a leading article "A"
    for no answer; the script of the benchmark's authors, with its oddities; or
    lmms-eval 0.7.3."""
    unparsed: Literal["wrong", "dropped", "guessed"] = "wrong"
    """What becomes of a reply in which no option is found: the script of Video-MME leaves
    it out of the count, lmms-eval guesses for LongVideoBench, EgoSchema and NExT-QA."""
    missing_videos: Handling = "wrong"
    """What becomes of questions whose video is not there."""
    unanswered: Handling = "wrong"
    """What becomes of questions that got no answer for another reason; the script of
    LVBench leaves them out of the count."""
    average: Literal["macro", "micro"] = "macro"
    """M-Avg of MLVU: the mean of its tasks, or all questions pooled, as VLMEvalKit and
    lmms-eval before 2025-02-27 have it."""
    generation_average: Literal["tasks", "pooled"] = "tasks"
    """G-Avg of MLVU: the mean of its two tasks, or all questions pooled and each total
    cut to a whole number, as VLMEvalKit has it."""
    duplicates: Literal["dropped", "kept"] = "dropped"
    """Pairs of VideoHallucer that stand twice: 176 temporal pairs without, 200 with."""
    size: Literal["any", "original", "clean", "flash-vstream"] = "any"
    """Which edition of LVBench the annotations must be: 1,549, 1,519 or 1,508 questions."""
    judge_score: Literal["rounded", "truncated"] = "rounded"
    """What becomes of a judge's 4.8: 5, or 4 as the published scripts have it. The raw
    value is kept."""
    likeness: Literal["none", "measured"] = "none"
    """Whether chosen frames are also compared with the key frames by their pixels, as
    LV-Haystack does; it decodes both again and takes a while."""
    submission: Literal["file", "none"] = "file"
    """Questions without public answers: write the file that their server takes, or
    nothing. It is never sent."""

    def to_dict(self) -> dict[str, Any]:
        """Give the options as plain values."""
        return asdict(self)


def read_options(pairs: Sequence[str]) -> BenchmarkOptions:
    """Read options from ``NAME=VALUE`` texts.

    Args:
        pairs: The texts.

    Raises:
        ValueError: One has no ``=``, or an option or value is unknown.
    """
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(
                f"a rule is written NAME=VALUE, got {pair!r}; names are "
                f"{', '.join(one.name for one in fields(BenchmarkOptions))}"
            )
        given[name.strip().replace("-", "_")] = value.strip()
    return from_mapping(BenchmarkOptions, given)


def describe_differences(given: Mapping[str, Any]) -> str:
    """Name the options that are not as they are by default."""
    usual = BenchmarkOptions().to_dict()
    told = [f"{name}={value}" for name, value in given.items() if usual[name] != value]
    return ", ".join(told)
