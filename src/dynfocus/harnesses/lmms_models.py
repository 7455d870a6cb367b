"""Any of our models under lmms-eval: ``--model dynfocus --model_args pretrained=...``.

Questions about one video are asked together, so it is encoded once, and answers go back
in the order of the requests, each with the tokens that were read.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval.api.instance import GenerationResult, TokenCounts
from lmms_eval.api.model import lmms

import dynfocus
from dynfocus.bulk.asking import FAILURES
from dynfocus.errors import DynFocusWarning
from dynfocus.text import plural, sentence

_logger = logging.getLogger(__name__)
_USUAL_TOKENS = 64


class SimpleModel(lmms):  # type: ignore[misc]  # the harness has no types
    """Answer requests that hold a text and what shows it.

    Args:
        pretrained: ``"nano"``, a folder, or a hub id.
        method: What chooses the tokens, one of the model's methods.
        fps: Frames sampled a second.
        max_frames: At most so many frames.
        max_video_tokens: At most so many video tokens.
        scorer: For a model of others, what compares frames with the question.
        dtype: Precision.
        device: Where the model goes, as lmms-eval names it.
        batch_size: One; questions about a video share what was encoded of it.
        max_batch_size: Not used.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str = "nano",
        method: str | None = None,
        fps: float = 1.0,
        max_frames: int | None = None,
        max_video_tokens: int | None = None,
        scorer: str | None = None,
        dtype: str | None = None,
        device: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        loading = {"scorer": scorer, "dtype": dtype, "device": device}
        given = {name: value for name, value in loading.items() if value is not None}
        self.video_model = dynfocus.load(pretrained, **given)
        self.reading: dict[str, Any] = {"fps": float(fps), "max_frames": max_frames}
        self.asking: dict[str, Any] = {
            "max_video_tokens": max_video_tokens,
            "method": method,
        }
        self.video_model.check(**self.reading, **self.asking)
        self.num_failed = 0

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests; one that fails gets an empty answer and is counted."""
        asked = [self._read(request) for request in requests]
        order = sorted(range(len(asked)), key=lambda place: str(asked[place][1]))
        answers: list[Any] = [None] * len(asked)
        opened: tuple[str, Any] | None = None
        for place in order:
            question, shown, options = asked[place]
            name = str(shown)
            try:
                if opened is None or opened[0] != name:
                    opened = name, self._index(shown)
                answers[place] = self._answer(question, opened[1], options)
            except FAILURES as error:
                self.num_failed += 1
                _logger.warning("%s: %s", name, sentence(error))
                answers[place] = GenerationResult(text="", token_counts=None)
        if self.num_failed:
            warnings.warn(
                f"{plural(self.num_failed, 'request')} failed and got an empty answer; the "
                "log says why",
                DynFocusWarning,
                stacklevel=2,
            )
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[Any]:
        """Refuse: our models answer, they do not rate texts."""
        raise NotImplementedError(
            "dynfocus answers questions and rates no texts; choose a task of the type "
            "generate_until"
        )

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[Any]:
        """Refuse tasks of several rounds."""
        raise NotImplementedError(
            "dynfocus answers single questions here; choose a task of the type "
            "generate_until"
        )

    def _read(self, request: Any) -> tuple[str, tuple[Any, ...], Mapping[str, Any]]:
        """Give the question, what shows it, and the options of generation.

        Both kinds of requests hold a text, options, and what turns a document into what
        is shown: visuals of a simple request, messages of a chat.
        """
        context, first, second, doc_id, task, split = request.args
        show, options = (first, second) if callable(first) else (second, first)
        shown = show(self.task_dict[task][split][doc_id]) or ()
        if not _are_messages(shown):
            return context, tuple(shown), options
        parts = [part for message in shown for part in _parts(message)]
        words = [part["text"] for part in parts if part["type"] == "text"]
        media = [part["url"] for part in parts if part["type"] in ("video", "image")]
        return "\n".join(words) or context, tuple(media), options

    def _index(self, shown: tuple[Any, ...]) -> Any:
        """Encode what is shown: files of videos, or pictures."""
        if not shown:
            raise ValueError(
                "the request shows no video; dynfocus answers about videos"
            )
        found = []
        for one in shown:
            if isinstance(one, Mapping):
                raise ValueError(
                    f"the request shows {sorted(one)}, not a file or a picture; dynfocus "
                    "eval may have this benchmark itself"
                )
            if isinstance(one, str | Path):
                found.append(self.video_model.index(str(one), **self.reading))
            else:
                found.append(self.video_model.index([one.convert("RGB")]))
        return found[0] if len(found) == 1 else found

    def _answer(self, question: str, indexed: Any, options: Mapping[str, Any]) -> Any:
        """Ask, and cut the answer where the task wants it cut."""
        tokens = int(options.get("max_new_tokens") or _USUAL_TOKENS)
        answer = self.video_model.ask(
            indexed, question.strip(), max_new_tokens=tokens, **self.asking
        )
        text = answer.text
        ends = options.get("until") or ()
        for end in [ends] if isinstance(ends, str) else ends:
            text = text.split(end)[0] if end else text
        counts = TokenCounts(input_tokens=answer.tokens)
        return GenerationResult(text=text, token_counts=counts)


class ChatModel(SimpleModel):
    """Answer requests that hold messages; their words are joined, videos come first."""

    is_simple = False


def _are_messages(shown: Any) -> bool:
    """Tell messages of a chat from files and pictures."""
    return bool(shown) and isinstance(shown[0], Mapping) and "content" in shown[0]


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the parts of a message; a text alone is one."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
