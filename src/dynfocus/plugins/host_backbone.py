"""A plugged vision language model as the backbone of a `VideoModel`.

Letters: T frames, S steps, F frames of a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from dynfocus.focus import HostBudget, TwoPassBudget, share_budget, uniform_indices
from dynfocus.focus.tokens import NUM_ROD_TOKENS, ConeTokens
from dynfocus.index import Sampling, VideoGroup, VideoIndex
from dynfocus.methods import (
    FrameScorer,
    KeptStep,
    Selector,
    find_selector,
    find_selectors,
    num_steps_read,
    spend,
)
from dynfocus.methods.loops import Look
from dynfocus.methods.spending import compare_regions, encode_regions
from dynfocus.methods.text_scorer import TextScorer, WordsScorer
from dynfocus.models.conversation import (
    Answer,
    PreparedTurn,
    Turn,
    WordReport,
    check_count,
    report_words,
)
from dynfocus.models.encoding import Progress, VideoSource, make_thumbnails
from dynfocus.models.excerpts import take_excerpt
from dynfocus.models.looking import find_frames, order_looks
from dynfocus.models.options import AskOptions
from dynfocus.plugins.family import Family, FramePlan, HostFeatures, StepTokens
from dynfocus.plugins.host_frames import HostFrames
from dynfocus.plugins.host_looks import join_steps, keep_looks
from dynfocus.plugins.host_pixels import to_pixels
from dynfocus.plugins.host_prompts import fill
from dynfocus.plugins.host_scorer import HostScorer
from dynfocus.text import label_media
from dynfocus.video import SampledFrames, VideoReader
from dynfocus.words.telling import tell_words

_WINDOW_FRAMES = 32


@dataclass(frozen=True)
class ToldWords:
    """Words of videos as they stand in a prompt."""

    text: str
    words: tuple[WordReport, ...]
    num_tokens: int


class HostBackbone:
    """Turn videos and questions into prompts of a host, within a budget of video tokens.

    Args:
        family: The host.
        method: One of `dynfocus.methods.SELECTORS`.
        max_video_tokens: The budget.
        scorer: What compares frames with questions, if anything does; a `HostScorer` is
            the host itself.
        cone_tokens: Tokens of a Cone.
        use_timestamps: Write the time of each step into the prompt, behind its tokens.
        name: What the model is called in messages.
    """

    abilities: frozenset[str] = frozenset({"cones", "look", "session", "text", "turns"})
    time_grid = None
    is_nano = False
    store = None

    def __init__(
        self,
        family: Family,
        *,
        method: str,
        max_video_tokens: int,
        scorer: FrameScorer | HostScorer | None,
        cone_tokens: ConeTokens,
        use_timestamps: bool = False,
        name: str,
    ) -> None:
        self.family = family
        self.model = family.model.eval()
        self.processor = family.processor
        self.name = name
        self.marks = (family.video_mark,)
        self._own_scorer = scorer if isinstance(scorer, HostScorer) else None
        self._scorer = None if isinstance(scorer, HostScorer) else scorer
        self._pictures = None if self._scorer is None else self._scorer.pictures
        self._selector = self._find(method)
        self._max_video_tokens = max_video_tokens
        self._cone_tokens = cone_tokens
        self._use_timestamps = use_timestamps
        check_count("max_video_tokens", max_video_tokens)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the selectors, those of other packages too."""
        return tuple(sorted(find_selectors()))

    @property
    def scores_see_question(self) -> bool:
        """Tell whether the scores of frames depend on the question."""
        return self._scorer is not None or self._own_scorer is not None

    def check(self, options: AskOptions, num_videos: int = 1) -> None:
        """Refuse a method that there is not, or that needs a scorer, and no budget.

        What a frame costs is known of a video that was read; it is no less than a Rod.
        """
        if self._find(options.method).rest != "whole":
            total = options.max_video_tokens
            least = [self._budget(NUM_ROD_TOKENS, total).minimum] * num_videos
            if num_videos > 1:
                share_budget(total or self._max_video_tokens, least, least)

    def index(
        self, video: Any, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Encode a video once, for any number of questions, methods and budgets.

        The host's tokens of all frames take the place of the file.
        """
        if isinstance(video, VideoIndex):
            return take_excerpt(video, options)
        source, most = VideoSource.open(video, options), options.max_encoded_frames
        if most is not None:
            source = source.thin_unlike(most, self.family.frames_per_step)
        return self._encode(source, self._selector, progress)

    def find(self, video: Any, options: AskOptions) -> VideoIndex | None:
        """Find nothing: what a host encodes is not kept on disk."""
        return None

    def encode(
        self, video: Any, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Encode a video unless it is encoded, no more frames than will be kept."""
        selector, per_step = self._find(options.method), self.family.frames_per_step
        if isinstance(video, VideoIndex):
            video = take_excerpt(video, options)
            if options.max_frames is None:
                return video
            most = min(video.num_frames, -(-options.max_frames // per_step))
            rows = uniform_indices(video.num_frames, most)
            return replace(video, features=video.features.take(rows), thumbnails=None)
        source = VideoSource.open(video, options)
        count = min(source.num_frames, options.max_encoded_frames or source.num_frames)
        plan = self.family.plan_frames(source.size, count)
        budget = self._budget(plan.num_tokens, options.max_video_tokens)
        num_steps = num_steps_read(selector, budget, -(-count // per_step))
        if count < source.num_frames:
            source = source.thin_unlike(min(count, num_steps * per_step), per_step)
        source = source.thin(num_steps * per_step)
        return self._encode(source, selector, progress)

    def select(
        self,
        video: HostFeatures,
        question: str,
        max_video_tokens: int | None = None,
        method: str | None = None,
        scorer: FrameScorer | None = None,
    ) -> tuple[HostFeatures, list[KeptStep]]:
        """Spend a budget on a video.

        Args:
            video: What `index` gave.
            question: The question.
            max_video_tokens: The budget, in place of the model's own.
            method: One of `dynfocus.methods.SELECTORS`, in place of the model's own.
            scorer: What knows the words of the video about the question.

        Returns:
            The steps that are kept, and what is kept of each.
        """
        budget = self._budget(video.tokens_per_step, max_video_tokens)
        similarity = None
        if self._own_scorer is not None:
            similarity = self._own_scorer.compare(video, question)
        elif self._pictures is not None:
            similarity = compare_regions(
                self._pictures,
                video.regions,
                question,
                grid=video.grid,
                num_front=video.num_front,
            )
        if isinstance(scorer, WordsScorer):
            times = video.pts_seconds.double().cpu().numpy()
            similarity = scorer.join(times, similarity, video.tokens_per_step)
        selector = self._find(method)
        if selector.needs_scorer and similarity is None:  # no words are about it
            selector = find_selector("events", has_scorer=False)
        with torch.inference_mode():
            return spend(selector, budget, video, similarity, question)

    def prepare(
        self,
        video: VideoIndex | VideoGroup,
        question: str,
        options: AskOptions,
        history: Sequence[Turn],
    ) -> PreparedTurn:
        """Spend the budget on all videos and write the prompt of a question about them."""
        if not video.videos:  # words alone
            return fill(self.family, [], question, history)
        scorers = [self._scorer_of(one, question) for one in video.videos]
        told = self._tell(video.videos, scorers, options)
        options = self._leave_room(options, told.num_tokens)
        shares = self._shares([one.features for one in video.videos], options)
        spent = [
            self._spend(one, question, options.replace(max_video_tokens=share), scorer)
            for one, share, scorer in zip(video.videos, shares, scorers, strict=True)
        ]
        turn = fill(
            self.family,
            spent,
            question,
            history,
            words=told.text,
            use_timestamps=self._use_timestamps,
        )
        return replace(turn, words=told.words, word_tokens=told.num_tokens)

    def _scorer_of(self, video: VideoIndex, question: str) -> FrameScorer | None:
        """Give what knows the words of a video; None where the pictures are all."""
        if not isinstance(self._scorer, TextScorer):
            return None
        if video.words is not None:
            return self._scorer.for_words(
                video.words, question, "the video", video.interval
            )
        if video.source is None:
            return None
        return self._scorer.for_question(VideoReader(video.source), question)

    def _tell(
        self,
        videos: Sequence[VideoIndex],
        scorers: Sequence[FrameScorer | None],
        options: AskOptions,
    ) -> ToldWords:
        """Write the words about the question, each video within its part of the share."""
        budget = options.max_video_tokens or self._max_video_tokens
        least = self._least([one.features for one in videos], options)
        room = min(int(options.word_share * budget), budget - sum(least))
        most = max(0, room) // len(videos)
        parts, words, num_tokens = [], list[WordReport](), 0
        labels = label_media(len(videos))
        for number, (label, scorer) in enumerate(zip(labels, scorers, strict=True)):
            found = () if scorer is None else scorer.words
            text, told = tell_words(found, most, self._count)
            if text:
                parts.append(f"{label}{text}")
                num_tokens += self._count(parts[-1])
                words += report_words(told, number)
        return ToldWords("\n".join(parts), tuple(words), num_tokens)

    def _count(self, text: str) -> int:
        ids = self.processor.tokenizer(text, add_special_tokens=False, verbose=False)
        return len(ids["input_ids"]) + 1  # with the line break after it

    def _leave_room(self, options: AskOptions, num_tokens: int) -> AskOptions:
        """Take the tokens of words from the budget of frames."""
        if not num_tokens:
            return options
        total = options.max_video_tokens or self._max_video_tokens
        return options.replace(max_video_tokens=max(1, total - num_tokens))

    def _spend(
        self,
        video: VideoIndex,
        question: str,
        options: AskOptions,
        scorer: FrameScorer | None = None,
    ) -> tuple[HostFeatures, list[KeptStep]]:
        """Spend a budget on a video, as the looks say where looks were joined."""
        features, budget = video.features, options.max_video_tokens
        if video.looks is None:
            return self.select(features, question, budget, options.method, scorer)
        costs = self.look_budget(video, options)
        return features, keep_looks(costs, features, video.looks)

    def _shares(
        self, videos: Sequence[HostFeatures], options: AskOptions
    ) -> list[int | None]:
        """Give each video its part of the budget; what keeps all frames has none."""
        total, selector = options.max_video_tokens, self._find(options.method)
        if len(videos) == 1 or selector.rest == "whole":
            return [total] * len(videos)
        least = self._least(videos, options)
        wanted = [one.num_tokens for one in videos]
        return [*share_budget(total or self._max_video_tokens, wanted, least)]

    def _least(self, videos: Sequence[HostFeatures], options: AskOptions) -> list[int]:
        """Count the tokens that each video needs at least."""
        total, selector = options.max_video_tokens, self._find(options.method)
        return [
            one.tokens_per_step + len(one.tail)
            if selector.rest == "dropped"
            else self._budget(one.tokens_per_step, total).minimum
            for one in videos
        ]

    def look_budget(self, video: VideoIndex, options: AskOptions) -> TwoPassBudget:
        """Say what frames cost a method that looks again."""
        features = video.features
        return TwoPassBudget(
            max_video_tokens=options.max_video_tokens or self._max_video_tokens,
            tokens_per_step=features.tokens_per_step,
            frames_per_step=self.family.frames_per_step,
            num_tail=len(features.tail),
        )

    def look(
        self, video: VideoIndex, look: Look, reader: VideoReader | None
    ) -> VideoIndex:
        """Give the frames of a look, from the index where it holds them, or the file."""
        features, per_step = video.features, self.family.frames_per_step
        held = features.pts_seconds.numpy()
        rows, seconds = find_frames(held, look, reader, per_step)
        if seconds is None:
            taken = features.take(torch.from_numpy(rows))
            return replace(video, features=taken, thumbnails=None)
        assert reader is not None  # it has found the times
        source = VideoSource(
            duration=video.duration,
            size=reader.size,
            num_frames=len(seconds),
            path=video.source,
            reader=reader,
            plan={"times": seconds},
            sampling=Sampling(fps=video.fps),
        )
        return self._encode(source, self._selector, None, features.plan)

    def join(
        self, video: VideoIndex, seen: Sequence[tuple[Look, VideoIndex]]
    ) -> VideoIndex:
        """Join looks in order of time; a frame of two is of the later."""
        order, looks = order_looks(seen)
        features = join_steps([part.features for _, part in seen], order)
        return replace(video, features=features, thumbnails=None, looks=looks)

    def generate(self, turn: PreparedTurn, **options: Any) -> Tensor:
        """Continue a prompt; gives the new tokens, ``[1, L]``."""
        tokenizer, config = self.processor.tokenizer, self.model.generation_config
        if config.pad_token_id is None:
            options["pad_token_id"] = tokenizer.pad_token_id or tokenizer.eos_token_id
        if config.eos_token_id is None:
            options["eos_token_id"] = tokenizer.eos_token_id
        output: Tensor = self.run(turn, **options)
        return output[:, turn.input_ids.shape[1] :]

    def run(self, turn: PreparedTurn, **options: Any) -> Any:
        """Let the host's own ``generate`` continue a prompt.

        Args:
            turn: What `prepare` gave.
            **options: What ``generate`` accepts.

        Returns:
            What ``generate`` gives; its sequences begin with the prompt.
        """
        if turn.position_ids is not None:
            options["position_ids"] = turn.position_ids
        with self.family.prefill(turn.is_visual, turn.layers) as given:
            return self.model.generate(
                input_ids=turn.input_ids,
                inputs_embeds=turn.embeds,
                attention_mask=turn.attention_mask,
                **{**given, **options},
            )

    def map_prototypes(self, video: Any, answer: Answer, num_frames: int) -> NoReturn:
        """Have none to show; `VideoModel.require` says so."""
        raise NotImplementedError

    def frame_encoder(self, max_frames: int | None) -> HostFrames:
        """Give what encodes the frames of a video that is still coming."""
        return HostFrames(self.family, self._pictures, max_frames)

    def _encode(
        self,
        source: VideoSource,
        selector: Selector,
        progress: Progress | None,
        plan: FramePlan | None = None,
    ) -> VideoIndex:
        """Read and encode a video, 32 frames at a time, so that memory stays bounded.

        Where every frame is to stay whole, all are encoded in one go: the numbers are
        then the host's own to the last bit.
        """
        is_whole = selector.rest == "whole"
        window = source.num_frames if is_whole else _WINDOW_FRAMES
        plan = plan or self.family.plan_frames(source.size, source.num_frames)
        per_step = self.family.frames_per_step
        encoded, times, regions, thumbnails = [], [], [], []
        decoded = source.stream(_WINDOW_FRAMES // 2)  # the next half while one is used
        for part in _regroup(decoded, window, per_step):
            encoded.append(self._encode_window(part, plan))
            times.append(part.times)
            thumbnails.append(make_thumbnails(part.frames, source.size))
            if self._pictures is not None:
                regions.append(encode_regions(self._pictures, part.frames, per_step))
            if progress is not None:
                progress(sum(map(len, times)), source.num_frames)
        frame_seconds = _by_step(np.concatenate(times), per_step)
        layers = [part.layers for part in encoded if part.layers is not None]
        features = HostFeatures(
            tokens=torch.cat([part.tokens for part in encoded]),
            layers=torch.cat(layers) if layers else None,
            tail=self.family.tail().detach(),
            grid=plan.grid,
            num_front=plan.num_front,
            steps=torch.arange(len(frame_seconds)),
            frame_seconds=frame_seconds,
            duration=source.duration,
            regions=torch.cat(regions) if regions else None,
            plan=plan,
        )
        return source.index(features, np.concatenate(thumbnails)[::per_step])

    @torch.inference_mode()
    def _encode_window(self, part: SampledFrames, plan: FramePlan) -> StepTokens:
        weight = self.model.get_input_embeddings().weight
        pixels = to_pixels(part.frames, plan.pixels).to(weight.device, weight.dtype)
        steps = self.family.encode(pixels)
        if steps.tokens.shape[1] != plan.num_tokens:
            raise ValueError(
                f"the model makes {steps.tokens.shape[1]} tokens of a frame, the "
                f"processor expects {plan.num_tokens}; load both from one folder"
            )
        return steps

    def _find(self, method: str | None) -> Selector:
        if method is None:
            return self._selector
        return find_selector(method, has_scorer=self.scores_see_question)

    def _budget(self, tokens_per_step: int, max_video_tokens: int | None) -> HostBudget:
        if max_video_tokens is None:
            max_video_tokens = self._max_video_tokens
        return HostBudget(
            max_video_tokens=max_video_tokens,
            tokens_per_step=tokens_per_step,
            num_tail=len(self.family.tail()),
            cone_tokens=self._cone_tokens,
        )


def _regroup(
    parts: Iterator[SampledFrames], window: int, frames_per_step: int
) -> Iterator[SampledFrames]:
    """Give frames in windows of whole steps, the last as long as it is."""
    window = -(-window // frames_per_step) * frames_per_step
    frames: list[Any] = []
    times: list[float] = []
    for part in parts:
        frames.extend(part.frames)
        times.extend(part.times.tolist())
        while len(frames) >= window:
            yield SampledFrames(np.stack(frames[:window]), np.array(times[:window]))
            frames, times = frames[window:], times[window:]
    if frames:
        yield SampledFrames(np.stack(frames), np.array(times))


def _by_step(times: Any, frames_per_step: int) -> Tensor:
    """Group times by step, the last doubled where a step is not full, ``[S, F]``."""
    missing = -len(times) % frames_per_step
    padded = np.concatenate([times, np.repeat(times[-1:], missing)])
    return torch.from_numpy(padded.astype(np.float64)).view(-1, frames_per_step)
