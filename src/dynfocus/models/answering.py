"""Ask questions about videos: what `dynfocus.load` gives.

Letters: T frames, L prompt tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from dynfocus.focus import VideoFeatures
from dynfocus.index import IndexStore, VideoIndex
from dynfocus.models.answers import Answer, FrameReport, report_frames
from dynfocus.models.chat import (
    ChatSession,
    Turn,
    TurnAnswerer,
    build_conversation,
    check_count,
    check_question,
)
from dynfocus.models.dynfocus import (
    DynFocusForConditionalGeneration,
    DynFocusProcessor,
    VideoInputs,
)
from dynfocus.models.dynfocus.frames import Video
from dynfocus.models.encoding import Progress
from dynfocus.models.generation import CallbackStreamer, FiniteLogits, check_context
from dynfocus.models.indexing import VideoIndexer
from dynfocus.models.loading import NANO, load_parts
from dynfocus.models.prototype_maps import PrototypeMap, map_prototypes
from dynfocus.models.session import Session
from dynfocus.models.turns import PreparedTurn

__all__ = [
    "METHODS",
    "Answer",
    "ChatSession",
    "FocusedModel",
    "FrameReport",
    "Session",
    "Turn",
    "load_model",
]

METHODS = ("dynfocus",)


class FocusedModel:
    """Answer questions about videos with a DynFocus model.

    Args:
        model: The model.
        processor: Its processor.
        name: What it was loaded as.
        store: The index on disk where files are looked up before they are read, and
            kept afterwards; None for no index on disk.
        storage: How the index keeps a video, ``"exact"`` or ``"compact"``; by default
            exact for a model whose indexes are small.
    """

    def __init__(
        self,
        model: DynFocusForConditionalGeneration,
        processor: DynFocusProcessor,
        name: str,
        store: IndexStore | None = None,
        storage: str | None = None,
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.name = name
        self.store = store
        self._indexer = VideoIndexer(self.model, processor, name, store, storage)

    @property
    def is_nano(self) -> bool:
        """Tell whether this is the model that the package ships."""
        return self.name == NANO

    @property
    def scores_see_question(self) -> bool:
        """Tell whether the scores of frames depend on the question."""
        return self.model.settings.score_conditioning == "question"

    def ask(
        self,
        video: Video,
        question: str,
        *,
        fps: float = 1.0,
        max_frames: int | None = None,
        max_video_tokens: int | None = None,
        method: str | None = None,
        max_new_tokens: int = 64,
        progress: Progress | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answer a question about a video.

        Args:
            video: A file, frames, or what `index` gave.
            question: The question.
            fps: Frames per second to sample; an index keeps its own.
            max_frames: At most so many frames, taken evenly.
            max_video_tokens: At most so many video tokens.
            method: ``"dynfocus"``, which is also the default.
            max_new_tokens: At most so many tokens in the answer.
            progress: Called with the steps done and the steps in all while frames
                are decoded and encoded.
            on_text: Called with each finished piece of the answer.

        Returns:
            The answer, its cost and what became of each frame.
        """
        started = time.perf_counter()
        check_question(question)
        _check_method(method)
        check_count("max_new_tokens", max_new_tokens)
        features = self._indexer.features(
            video,
            fps=fps,
            max_frames=max_frames,
            max_video_tokens=max_video_tokens,
            progress=progress,
        )
        return self.answer_turn(
            features,
            question,
            max_video_tokens=max_video_tokens,
            max_new_tokens=max_new_tokens,
            on_text=on_text,
            started=started,
        )

    def index(
        self,
        video: Video,
        *,
        fps: float = 1.0,
        max_frames: int | None = None,
        progress: Progress | None = None,
    ) -> VideoIndex:
        """Encode a video once, for any number of questions, or open its index.

        Args:
            video: A file or frames.
            fps: Frames per second to sample.
            max_frames: At most so many frames, taken evenly.
            progress: Called with the steps done and the steps in all.

        Returns:
            What takes the place of the file in `ask` and `chat`.
        """
        return self._indexer.index(
            video, fps=fps, max_frames=max_frames, progress=progress
        )

    def chat(
        self,
        video: Video,
        *,
        fps: float = 1.0,
        max_frames: int | None = None,
        max_video_tokens: int | None = None,
        progress: Progress | None = None,
        answerer: TurnAnswerer | None = None,
    ) -> ChatSession:
        """Start a conversation about a video, which is encoded once.

        Args:
            video: A file, frames, or what `index` gave.
            fps: Frames per second to sample; an index keeps its own.
            max_frames: At most so many frames, taken evenly.
            max_video_tokens: At most so many video tokens a question.
            progress: Called with the steps done and the steps in all.
            answerer: What runs the language model, such as a server; by default this
                model.

        Returns:
            The conversation.
        """
        features = self._indexer.features(
            video,
            fps=fps,
            max_frames=max_frames,
            max_video_tokens=max_video_tokens,
            progress=progress,
        )
        return ChatSession(answerer or self, features, max_video_tokens)

    def session(
        self,
        *,
        max_frames: int | None = 1024,
        fps: float = 1.0,
        max_video_tokens: int | None = None,
        keeps_turns: bool = False,
        keeps_thumbnails: bool = False,
    ) -> Session:
        """Start to watch a video that is still coming.

        Args:
            max_frames: Hold at most so many frames; without, all of them.
            fps: The rate that frames without times are taken to have.
            max_video_tokens: At most so many video tokens a question.
            keeps_turns: Whether each question is asked with the turns before it.
            keeps_thumbnails: Whether small pictures of the frames held are kept.

        Returns:
            What frames are pushed to and questions are asked of.
        """
        return Session(
            self,
            max_frames=max_frames,
            fps=fps,
            max_video_tokens=max_video_tokens,
            keeps_turns=keeps_turns,
            keeps_thumbnails=keeps_thumbnails,
        )

    def answer_turn(
        self,
        features: VideoFeatures,
        question: str,
        *,
        history: Sequence[Turn] = (),
        max_video_tokens: int | None = None,
        max_new_tokens: int = 64,
        on_text: Callable[[str], None] | None = None,
        started: float | None = None,
    ) -> Answer:
        """Answer a question about an encoded video, after earlier turns.

        Args:
            features: The question-independent half of the video.
            question: The question.
            history: Earlier turns, as text; the video stands before the first.
            max_video_tokens: At most so many video tokens.
            max_new_tokens: At most so many tokens in the answer.
            on_text: Called with each finished piece of the answer.
            started: When the work began, on the clock of ``time.perf_counter``.

        Returns:
            The answer, its cost and what became of each frame.
        """
        started = time.perf_counter() if started is None else started
        turn = self.prepare_turn(
            features,
            question,
            history=history,
            max_video_tokens=max_video_tokens,
            max_new_tokens=max_new_tokens,
        )
        with torch.inference_mode():
            text = self._generate(turn, max_new_tokens, on_text)
        return turn.answer(text, started)

    def prepare_turn(
        self,
        features: VideoFeatures,
        question: str,
        *,
        history: Sequence[Turn] = (),
        max_video_tokens: int | None = None,
        max_new_tokens: int = 64,
    ) -> PreparedTurn:
        """Do all of `answer_turn` but the answer, for whoever runs the language model.

        The arguments are those of `answer_turn`.

        Returns:
            What the language model reads.
        """
        check_question(question)
        check_count("max_new_tokens", max_new_tokens)
        inputs = self._prompt(features, question, history, max_video_tokens)
        input_ids = inputs["input_ids"]
        check_context(self.model.config, self.name, input_ids.shape[1], max_new_tokens)
        with torch.inference_mode():
            embeds, (tokens,) = self.model.embed_prompt(
                input_ids, VideoInputs.of(inputs)
            )
        return PreparedTurn(
            question=question,
            input_ids=input_ids[0],
            embeds=embeds,
            lead_in=len(self.processor.lead_in(question)),
            tokens=tokens,
        )

    def score_frames(
        self,
        video: Video,
        question: str,
        *,
        fps: float = 1.0,
        max_frames: int | None = None,
        max_video_tokens: int | None = None,
        progress: Progress | None = None,
    ) -> list[FrameReport]:
        """Tell what a question makes of each frame; the language model does not run.

        The arguments are those of `ask`.

        Returns:
            The ``frames`` of the answer that `ask` would give.
        """
        check_question(question)
        features = self._indexer.features(
            video,
            fps=fps,
            max_frames=max_frames,
            max_video_tokens=max_video_tokens,
            progress=progress,
        )
        inputs = self._prompt(features, question, (), max_video_tokens)
        with torch.inference_mode():
            (tokens,) = self.model.build_video_tokens(VideoInputs.of(inputs))
        return report_frames(tokens)

    def map_prototypes(
        self, video: Video, answer: Answer, *, num_frames: int = 3
    ) -> list[PrototypeMap]:
        """Read the best Cones again and tell which patches their prototypes merged.

        Args:
            video: The file or frames asked about, or the index of a file.
            answer: An answer about this video.
            num_frames: At most so many Cones, those of the highest scores.

        Returns:
            One map a Cone, in time order.
        """
        check_count("num_frames", num_frames)
        return map_prototypes(self.model, self.processor, video, answer, num_frames)

    def _prompt(
        self,
        features: VideoFeatures,
        question: str,
        history: Sequence[Turn],
        max_video_tokens: int | None,
    ) -> Any:
        """Lay out a prompt with its video, on the device of the model."""
        turns = build_conversation(history, question)
        prompt = self.processor.apply_chat_template(turns, add_generation_prompt=True)
        return self.processor(
            text=prompt,
            videos=[features],
            questions=[question],
            max_video_tokens=max_video_tokens,
        ).to(self.model.device)

    def _generate(
        self,
        turn: PreparedTurn,
        max_new_tokens: int,
        on_text: Callable[[str], None] | None,
    ) -> str:
        tokenizer = self.processor.tokenizer
        eos = tokenizer.eos_token_id
        pad = eos if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        output = self.model.generate(
            inputs_embeds=turn.embeds,
            attention_mask=torch.ones_like(turn.input_ids)[None],
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            eos_token_id=eos,
            pad_token_id=pad,
            suppress_tokens=[self.processor.video_token_id],
            logits_processor=[FiniteLogits()],
            streamer=None if on_text is None else CallbackStreamer(tokenizer, on_text),
        )
        text: str = tokenizer.decode(output[0], skip_special_tokens=True)
        return text.strip()


def load_model(
    name: str | Path = NANO,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    quantize: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    index_folder: str | Path | bool | None = None,
    storage: str | None = None,
) -> FocusedModel:
    """Load a model that answers questions about videos.

    Args:
        name: ``"nano"``, a folder that `save_pretrained` wrote, or a hub id.
        device: Where the model goes; the first GPU if there is one, by default.
        dtype: Precision; float32 on a CPU and the checkpoint's elsewhere by default.
        quantize: ``"8bit"`` or ``"4bit"``: matrices of the language model in so many
            bits.
        device_map: Where each module goes, or ``"auto"`` to fill the GPUs, then the
            CPU; in place of ``device``.
        index_folder: Where files are kept once they are encoded; by default
            ``$DYNFOCUS_INDEX`` or a folder in the user's cache; ``False`` for nowhere.
        storage: How they are kept, ``"exact"`` or ``"compact"``; by default exact for
            a model whose indexes are small.

    Returns:
        The model, ready to answer.
    """
    model, processor = load_parts(
        name, device=device, dtype=dtype, quantize=quantize, device_map=device_map
    )
    return FocusedModel(model, processor, str(name), _store(index_folder), storage)


def _store(index_folder: str | Path | bool | None) -> IndexStore | None:
    if index_folder is False:
        return None
    if index_folder is None or index_folder is True:
        return IndexStore()
    return IndexStore(index_folder)


def _check_method(method: str | None) -> None:
    if method is not None and method not in METHODS:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}, got {method!r}; leave it out "
            "for the model's own"
        )
