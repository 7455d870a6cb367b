"""What stands before a model: colours of the frames, tokenizers of prompt and question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.image_processing_base import ImageProcessingMixin

from dynfocus.conversion.checkpoints import (
    find_file,
    is_llama_vid,
    read_config,
    reason_of,
)
from dynfocus.defaults import check_reachable
from dynfocus.models.prompts import VIDEO_TOKEN

QUESTION_FOLDER = "qformer_tokenizer"
CLIP_COLOURS = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
"""Mean and deviation of EVA's and InstructBLIP's frames, as their files say nowhere."""

_EXTRA_WORD = "[DEC]"
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")

Colours = tuple[Sequence[float], Sequence[float]]


def read_colours(source: str | Path, frame_size: int) -> Colours:
    """Read mean and deviation of the colours from a tower's own image processor.

    Args:
        source: The folder or hub id of the tower; a file and LLaMA-VID have EVA's.
        frame_size: Side of the frames that the tower reads.

    Returns:
        Mean and deviation, three numbers each.
    """
    if Path(source).is_file() or is_llama_vid(read_config(source)):
        return CLIP_COLOURS
    if not any(find_file(source, name) for name in _PROCESSOR_FILES):
        raise ValueError(
            f"{source} has no image processor ({' or '.join(_PROCESSOR_FILES)}), so the "
            "mean and the deviation of its colours are not known; give --image-mean and "
            "--image-std"
        )
    fields, _ = ImageProcessingMixin.get_image_processor_dict(str(source))
    sides = _sides(fields)
    if sides and sides != {frame_size}:
        raise ValueError(
            f"the image processor of {source} makes images of "
            f"{'x'.join(map(str, sorted(sides)))}, but its vision tower reads "
            f"{frame_size}x{frame_size}; give a checkpoint whose parts belong together"
        )
    if not fields.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = fields.get("image_mean"), fields.get("image_std")
    if mean is None or std is None:
        raise ValueError(
            f"the image processor of {source} names no image_mean or no image_std; "
            "give --image-mean and --image-std"
        )
    return mean, std


def _sides(fields: dict[str, Any]) -> set[int]:
    """Collect the sides of what an image processor makes; empty if it does not say."""
    size = fields.get("crop_size" if fields.get("do_center_crop") else "size")
    if isinstance(size, int):
        return {size}
    return {int(side) for side in (size or {}).values() if side is not None}


def load_tokenizer(source: str | Path) -> Any:
    """Load a language model's tokenizer and teach it the video placeholder.

    Args:
        source: The folder or hub id of the language model.

    Returns:
        The tokenizer, which knows ``<video>``.
    """
    tokenizer = _tokenizer(source, "language model")
    if VIDEO_TOKEN not in tokenizer.get_vocab():
        tokenizer.add_tokens(VIDEO_TOKEN, special_tokens=True)
    return tokenizer


def load_question_tokenizer(
    given: str | Path | None, source: str | Path, vocab_size: int
) -> Any:
    """Load the tokenizer of a Q-Former with a vocabulary of its own.

    InstructBLIP's vocabulary is BERT's with one more word, which is added where it
    lacks.

    Args:
        given: Where it is; by default with the Q-Former.
        source: Where the Q-Former comes from.
        vocab_size: Words that the Q-Former knows.

    Returns:
        The tokenizer of the questions.
    """
    if given is not None:
        tokenizer = _tokenizer(given, "questions")
    elif _has_own_tokenizer(source):
        tokenizer = _tokenizer(source, "questions", subfolder=QUESTION_FOLDER)
    else:
        raise ValueError(
            f"the Q-Former of {source} reads {vocab_size} words of its own, but brings "
            "no tokenizer; give --question-tokenizer, for InstructBLIP's the folder or "
            "hub id of bert-base-uncased"
        )
    if len(tokenizer) == vocab_size - 1:
        tokenizer.add_tokens(_EXTRA_WORD, special_tokens=True)
    if len(tokenizer) > vocab_size:
        raise ValueError(
            f"the tokenizer of the questions has {len(tokenizer)} words, the Q-Former "
            f"only {vocab_size}; give the one that belongs to it"
        )
    return tokenizer


def _has_own_tokenizer(source: str | Path) -> bool:
    name = f"{QUESTION_FOLDER}/tokenizer_config.json"
    return not Path(source).is_file() and find_file(source, name) is not None


def _tokenizer(source: str | Path, what: str, subfolder: str = "") -> Any:
    try:
        check_reachable(source)
        return AutoTokenizer.from_pretrained(str(source), subfolder=subfolder)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ValueError(
            f"{source} has no tokenizer for the {what} that can be loaded "
            f"({reason_of(error)}); give a folder that holds one"
        ) from error
