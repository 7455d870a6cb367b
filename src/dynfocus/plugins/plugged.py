"""A host with DynFocus in front of its language model: what `dynfocus.plug` gives.

Letters: S steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from dynfocus.focus import HostBudget, uniform_indices
from dynfocus.focus.tokens import ConeTokens
from dynfocus.methods.looking import Scorer, look_for
from dynfocus.methods.selectors.training_free import METHODS, KeptStep
from dynfocus.models.answers import Answer, FrameReport
from dynfocus.models.chat import ChatSession, Turn, TurnAnswerer, check_count
from dynfocus.models.generation import CallbackStreamer, FiniteLogits, check_context
from dynfocus.plugins.encoding import HostEncoder, Progress
from dynfocus.plugins.family import Family, FramePlan
from dynfocus.plugins.host_video import HostVideo
from dynfocus.plugins.prompts import HostInputs, fill, lay_out
from dynfocus.plugins.reports import report_steps


class PluggedModel:
    """Answer questions about videos with a host and a budget of video tokens.

    Args:
        family: The host.
        method: One of ``METHODS``.
        max_video_tokens: The budget.
        scorer: What compares frames with questions, if anything does.
        cone_tokens: Tokens of a Cone.
        name: What the model is called in messages.
    """

    is_nano = False
    """It is never the model that the package ships."""

    def __init__(
        self,
        family: Family,
        *,
        method: str,
        max_video_tokens: int,
        scorer: Scorer | None,
        cone_tokens: ConeTokens,
        name: str,
    ) -> None:
        self.family = family
        self.model = family.model.eval()
        self.processor = family.processor
        self.name = name
        self._scorer = scorer
        self._method = self._checked(method)
        self._max_video_tokens = max_video_tokens
        self._cone_tokens = cone_tokens
        self._encoder = HostEncoder(family, scorer)
        check_count("max_video_tokens", max_video_tokens)

    @property
    def scores_see_question(self) -> bool:
        """Tell whether the scores of frames depend on the question."""
        return self._scorer is not None

    def ask(
        self,
        video: Any,
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
            max_video_tokens: The budget, in place of the model's own.
            method: One of ``METHODS``, in place of the model's own.
            max_new_tokens: At most so many tokens in the answer.
            progress: Called with the frames done and the frames in all.
            on_text: Called with each finished piece of the answer.

        Returns:
            The answer, its cost and what became of each frame that was kept.
        """
        started = time.perf_counter()
        _check_question(question)
        check_count("max_new_tokens", max_new_tokens)
        encoded = self.encode(
            video, fps, max_frames, max_video_tokens, method, progress
        )
        return self.answer_turn(
            encoded,
            question,
            max_video_tokens=max_video_tokens,
            method=method,
            max_new_tokens=max_new_tokens,
            on_text=on_text,
            started=started,
        )

    def index(
        self,
        video: Any,
        *,
        fps: float = 1.0,
        max_frames: int | None = None,
        progress: Progress | None = None,
    ) -> HostVideo:
        """Encode a video once, for any number of questions, methods and budgets.

        Args:
            video: A file or frames.
            fps: Frames per second to sample.
            max_frames: At most so many frames, taken evenly.
            progress: Called with the frames done and the frames in all.

        Returns:
            The host's tokens of all frames, which take the place of the file.
        """
        if isinstance(video, HostVideo):
            return video
        return self._encoder.encode(
            video,
            fps=fps,
            max_frames=max_frames,
            is_windowed=self._method != "none",
            progress=progress,
        )

    def chat(
        self,
        video: Any,
        *,
        fps: float = 1.0,
        max_frames: int | None = None,
        max_video_tokens: int | None = None,
        progress: Progress | None = None,
        answerer: TurnAnswerer | None = None,
    ) -> ChatSession:
        """Start a conversation about a video, which is encoded once.

        The arguments are those of `ask`; ``answerer`` runs the language model in place
        of this one.
        """
        encoded = self.encode(video, fps, max_frames, max_video_tokens, None, progress)
        return ChatSession(answerer or self, encoded, max_video_tokens)

    def score_frames(
        self,
        video: Any,
        question: str,
        *,
        fps: float = 1.0,
        max_frames: int | None = None,
        max_video_tokens: int | None = None,
        method: str | None = None,
        progress: Progress | None = None,
    ) -> list[FrameReport]:
        """Tell what a question makes of each frame; the language model does not run.

        The arguments are those of `ask`.

        Returns:
            The ``frames`` of the answer that `ask` would give.
        """
        _check_question(question)
        encoded = self.encode(
            video, fps, max_frames, max_video_tokens, method, progress
        )
        return report_steps(*self.select(encoded, question, max_video_tokens, method))

    def answer_turn(
        self,
        features: HostVideo,
        question: str,
        *,
        history: Sequence[Turn] = (),
        max_video_tokens: int | None = None,
        method: str | None = None,
        max_new_tokens: int = 64,
        on_text: Callable[[str], None] | None = None,
        started: float | None = None,
    ) -> Answer:
        """Answer a question about an encoded video, after earlier turns.

        Args:
            features: What `index` gave.
            question: The question.
            history: Earlier turns; the video stands before the first.
            max_video_tokens: The budget, in place of the model's own.
            method: One of ``METHODS``, in place of the model's own.
            max_new_tokens: At most so many tokens in the answer.
            on_text: Called with each finished piece of the answer.
            started: When the work began, on the clock of ``time.perf_counter``.

        Returns:
            The answer, its cost and what became of each frame that was kept.
        """
        started = time.perf_counter() if started is None else started
        _check_question(question)
        thinned, kept = self.select(features, question, max_video_tokens, method)
        with torch.inference_mode():
            inputs = self.prepare(thinned, kept, question, history)
            length = inputs.input_ids.shape[1]
            check_context(self.model.config, self.name, length, max_new_tokens)
            text = self._generate(inputs, max_new_tokens, on_text)
        frames = report_steps(thinned, kept)
        return Answer(
            text=text,
            question=question,
            tokens=sum(frame.tokens for frame in frames),
            frames=frames,
            seconds=time.perf_counter() - started,
        )

    def select(
        self,
        video: HostVideo,
        question: str,
        max_video_tokens: int | None = None,
        method: str | None = None,
    ) -> tuple[HostVideo, list[KeptStep]]:
        """Spend a budget on a video.

        Args:
            video: What `index` gave.
            question: The question.
            max_video_tokens: The budget, in place of the model's own.
            method: One of ``METHODS``, in place of the model's own.

        Returns:
            The steps that are kept, and what is kept of each.
        """
        chosen = METHODS[self._method if method is None else self._checked(method)]
        budget = self._budget(video.tokens_per_step, max_video_tokens)
        look = None
        if self._scorer is not None:
            look = look_for(self._scorer, video, question)
        if look is not None and chosen.choose_steps is not None:
            rows = chosen.choose_steps(look, budget)
        else:
            num_steps = chosen.num_steps(video.num_steps, budget)
            rows = uniform_indices(video.num_steps, num_steps)
        thinned = video.take(rows)
        look = look and look.take(rows)
        with torch.inference_mode():
            return thinned, chosen.select(thinned, budget, look)

    def prepare(
        self,
        video: HostVideo,
        kept: Sequence[KeptStep],
        question: str,
        history: Sequence[Turn] = (),
    ) -> HostInputs:
        """Write the host's prompt with what is kept of a video.

        Args:
            video: The steps that `select` gave.
            kept: What it kept of each.
            question: The question.
            history: Earlier turns.
        """
        ids = lay_out(self.family, video, question, history)
        return fill(self.family, video, ids, kept)

    def generate(self, inputs: HostInputs, **options: Any) -> Any:
        """Let the host's own ``generate`` continue a prompt.

        Args:
            inputs: What `prepare` gave.
            **options: What ``generate`` accepts.

        Returns:
            What ``generate`` gives; its sequences begin with the prompt.
        """
        if inputs.position_ids is not None:
            options["position_ids"] = inputs.position_ids
        with self.family.prefill(inputs.is_visual, inputs.layers):
            return self.model.generate(
                input_ids=inputs.input_ids,
                inputs_embeds=inputs.inputs_embeds,
                attention_mask=inputs.attention_mask,
                **options,
            )

    def _generate(
        self,
        inputs: HostInputs,
        max_new_tokens: int,
        on_text: Callable[[str], None] | None,
    ) -> str:
        tokenizer = self.processor.tokenizer
        options: dict[str, Any] = {}
        if self.model.generation_config.pad_token_id is None:
            options["pad_token_id"] = tokenizer.pad_token_id or tokenizer.eos_token_id
        if self.model.generation_config.eos_token_id is None:
            options["eos_token_id"] = tokenizer.eos_token_id
        output = self.generate(
            inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            suppress_tokens=[self.family.placeholder],
            logits_processor=[FiniteLogits()],
            streamer=None if on_text is None else CallbackStreamer(tokenizer, on_text),
            **options,
        )
        new = output[0, inputs.input_ids.shape[1] :]
        text: str = tokenizer.decode(new, skip_special_tokens=True)
        return text.strip()

    def encode(
        self,
        video: Any,
        fps: float,
        max_frames: int | None,
        max_video_tokens: int | None,
        method: str | None,
        progress: Progress | None,
    ) -> HostVideo:
        """Encode a video unless it is encoded, no more frames than will be kept.

        The arguments are those of `ask`.
        """
        name = self._method if method is None else self._checked(method)
        if isinstance(video, HostVideo):
            if max_frames is None:
                return video
            check_count("max_frames", max_frames)
            count = min(video.num_steps, -(-max_frames // self.family.frames_per_step))
            return video.take(uniform_indices(video.num_steps, count))

        def budget(plan: FramePlan) -> HostBudget:
            return self._budget(plan.num_tokens, max_video_tokens)

        return self._encoder.encode(
            video,
            fps=fps,
            max_frames=max_frames,
            budget=budget,
            thin=METHODS[name].num_steps,
            is_windowed=name != "none",
            progress=progress,
        )

    def _checked(self, method: str) -> str:
        if method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(sorted(METHODS))}, got {method!r}"
            )
        if METHODS[method].needs_scorer and self._scorer is None:
            raise ValueError(
                f"method {method!r} chooses frames by their similarity to the question; "
                "give scorer=, a dual encoder such as CLIP or SigLIP (--scorer)"
            )
        return method

    def _budget(self, tokens_per_step: int, max_video_tokens: int | None) -> HostBudget:
        if max_video_tokens is None:
            max_video_tokens = self._max_video_tokens
        return HostBudget(
            max_video_tokens=max_video_tokens,
            tokens_per_step=tokens_per_step,
            num_tail=len(self.family.tail()),
            cone_tokens=self._cone_tokens,
        )


def _check_question(question: str) -> None:
    if not question.strip():
        raise ValueError("the question is empty; write what to look for in the video")
