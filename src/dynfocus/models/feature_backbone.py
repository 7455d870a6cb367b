"""Our models as the backbone of a `VideoModel`: their index, prompts and prototypes."""

from __future__ import annotations

import logging
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dynfocus.defaults import NANO
from dynfocus.errors import FewerFramesWarning
from dynfocus.focus import (
    ROD_SCALE,
    FocusBudget,
    FrameEncoding,
    TokenBudget,
    TokenPlan,
    TwoPassBudget,
    VideoFeatures,
    VideoTokens,
    share_budget,
)
from dynfocus.focus.features import WINDOW_FRAMES
from dynfocus.index import IndexStore, Sampling, VideoGroup, VideoIndex
from dynfocus.methods import Selector, SelectorInput, find_selectors
from dynfocus.models.choices import split_options
from dynfocus.models.conversation import (
    Answer,
    FrameKind,
    FrameReport,
    PreparedTurn,
    Turn,
    build_conversation,
    check_count,
)
from dynfocus.models.dynfocus.merged_patches import PrototypeMap, map_prototypes
from dynfocus.models.encoding import (
    Progress,
    Video,
    VideoSource,
    kept_file,
    make_thumbnails,
)
from dynfocus.models.excerpts import (
    holds_excerpt,
    open_excerpt,
    sampling_of,
    take_excerpt,
)
from dynfocus.models.fingerprint import ModelFingerprint, index_layouts
from dynfocus.models.generation import context_limit
from dynfocus.models.looking import find_frames, order_looks
from dynfocus.models.options import AskOptions
from dynfocus.models.prompts import IMAGE_MARK, VIDEO_TOKEN
from dynfocus.models.stored_videos import StoredVideos
from dynfocus.models.unknown_world import look_at_world, warn_of_unknown_world
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.video_processor import VideoProcessor
from dynfocus.text import check_choice, label_media
from dynfocus.video import VideoFile, VideoReader

if TYPE_CHECKING:
    from dynfocus.methods.loops import Look
    from dynfocus.models.frame_encoders import FrameEncoder
    from dynfocus.video import VideoReader

_logger = logging.getLogger(__name__)


class FeatureBackbone:
    """Turn videos and questions into prompts with a model of ours.

    Args:
        model: The model.
        processor: Its processor.
        name: What it was loaded as.
        store: The index on disk where files are looked up before they are read, and
            kept afterwards; None for no index on disk.
        storage: How the index keeps a video, ``"exact"`` or ``"compact"``; by default
            exact for a model whose indexes are small.
    """

    marks = (VIDEO_TOKEN, IMAGE_MARK)

    def __init__(
        self,
        model: VideoLanguageModel,
        processor: VideoProcessor,
        name: str,
        store: IndexStore | None = None,
        storage: str | None = None,
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        processor.qformer_tokenizer("")  # its first call may change it
        self.name = name
        self.is_nano = name == NANO
        self.store = store
        self._stored = self._open_store(storage)

    @property
    def abilities(self) -> frozenset[str]:
        """What it can beyond answering; what needs prototypes only as DynFocus."""
        of_all = {"index", "look", "prompt_embeds"}
        if not self.processor.single_turn:
            of_all.add("turns")
        of_plain = {"cones", "maps", "scores", "session"}
        return frozenset(of_all | (of_plain if self._is_plain else set()))

    @property
    def methods(self) -> tuple[str, ...]:
        """What makes the model's tokens, and selectors of the frames that it is shown."""
        own: tuple[str, ...] = self.model.config.methods
        return tuple(sorted({*own, *self._selectors}))

    @property
    def _selectors(self) -> dict[str, Selector]:
        """The selectors that the model can follow: frames have one size for it."""
        if not self._is_plain:
            return {}
        can_score = self.scores_see_question
        return {
            name: one
            for name, one in find_selectors("dropped").items()
            if one.counts == "frames" and (can_score or not one.needs_scorer)
        }

    @property
    def time_grid(self) -> int | None:
        """How many steps of a video its times are written in; None for seconds."""
        return self.model.time_grid

    @property
    def _is_plain(self) -> bool:
        return bool(self.model.config.is_plain)

    @property
    def scores_see_question(self) -> bool:
        """Tell whether the scores of frames depend on the question."""
        return self._is_plain and self.model.settings.extensions.use_question_scores

    def check(self, options: AskOptions, num_videos: int = 1) -> None:
        """Refuse a method that the model does not have, and a budget below a frame's."""
        if options.method is not None:
            own = "; leave it out for the model's own"
            check_choice(options.method, "method", self.methods, own)
        least = [self._budget(options).minimum] * num_videos
        if options.max_video_tokens is not None and num_videos > 1:
            share_budget(options.max_video_tokens, least, least)

    def index(
        self, video: Video, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Open the index of a video, or encode it; see `VideoModel.index`."""
        if isinstance(video, VideoIndex):
            return self._excerpt(video, options)
        found = self._index(open_excerpt(video, options), options, progress)
        if self.is_nano:
            warn_of_unknown_world(found)
        return found

    def find(self, video: Video, options: AskOptions) -> VideoIndex | None:
        """Open the index of a video if it is on disk, or that of the whole of it."""
        video, stored = open_excerpt(video, options), self._stored
        file = None if stored is None else kept_file(video)
        if stored is None or file is None:
            return None
        found = self._open(stored, file, video, sampling_of(video, options))
        if found is not None and self.is_nano:
            warn_of_unknown_world(found)
        return found

    def _index(
        self, video: Video, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        sampling = sampling_of(video, options)
        stored = self._stored
        file = None if stored is None else kept_file(video)
        if stored is None or file is None:
            return self._encode(video, options, progress)[0]
        found = self._open(stored, file, video, sampling)
        if found is not None:
            return found
        key = stored.key(file, sampling)  # of the file before it is read
        return stored.keep(key, *self._encode(video, options, progress))

    def _open(
        self, stored: StoredVideos, file: VideoFile, video: Video, sampling: Sampling
    ) -> VideoIndex | None:
        found, most = stored.open(file, sampling), sampling.max_encoded_frames
        if found is None and most is not None:
            whole = stored.open(file, replace(sampling, max_encoded_frames=None))
            return whole if whole is not None and whole.num_frames <= most else None
        if found is None and isinstance(video, VideoReader) and video.is_excerpt:
            found = self._find_excerpt(stored, video, sampling)
        return found

    def encode(
        self, video: Video, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Encode a video unless it is encoded; of an encoded one take fewer frames."""
        if isinstance(video, VideoFeatures):
            seconds = float(video.pts_seconds[-1]) + 1 / options.fps
            video = VideoIndex(
                features=video, source=None, duration=seconds, fps=options.fps
            )
        video = self.index(video, options, progress)
        features = video.features.thin(options.max_frames)
        if features is video.features:
            return video
        return replace(video, features=features, thumbnails=None)

    def prepare(
        self,
        video: VideoIndex | VideoGroup,
        question: str,
        options: AskOptions,
        history: Sequence[Turn],
    ) -> PreparedTurn:
        """Write the prompt of a question and put the video tokens in place."""
        model, processor = self.model, self.processor
        listed = split_options(question) if processor.asks_openly else None
        asked_for = question if listed is None else listed.question
        words = asked_for.strip()
        turns = build_conversation(history, asked_for)
        text = processor.apply_chat_template(turns, add_generation_prompt=True)
        asked = processor.question_ids(words).to(model.device)
        videos = video.videos
        if options.method in self._selectors:
            videos = tuple(self._choose(one, words, asked, options) for one in videos)
        plans = self._plans(videos, options, text, words)
        tokens, frames = [], []
        for number, (one, plan) in enumerate(zip(videos, plans, strict=True)):
            features = replace(one.features, duration=one.duration)
            (found,) = model.focus(
                [features], asked, torch.ones_like(asked), plans=[plan]
            )
            tokens.append(found)
            told = _report_frames(found, one, model.frame_kinds)
            frames += [replace(frame, video=number) for frame in told]
        counts = [len(found.embeds) for found in tokens]
        input_ids = processor.prompt_ids(text, words, counts).to(model.device)
        return PreparedTurn(
            question=asked_for,
            history=tuple(history),
            frames=frames,
            input_ids=input_ids,
            embeds=model.place(input_ids, tokens),
            placeholder=processor.video_token_id,
            num_lead_in=len(processor.lead_in(words, label_media(len(plans))[0])),
            letters={} if listed is None else listed.letters,
        )

    def _choose(
        self, video: VideoIndex, question: str, asked: Tensor, options: AskOptions
    ) -> VideoIndex:
        """Leave the frames that a selector chooses by the model's own scores.

        There are as many as the model can read within the budget with its own share of
        Cones; without a budget, as many as it would make Cones of the whole video.
        """
        features = replace(video.features, duration=video.duration)
        free = self._budget(AskOptions())
        plan = free.plan(video.num_frames)
        count, total = plan.num_cones, options.max_video_tokens
        if total is not None:
            counts = range(1, video.num_frames + 1)
            fitting = bisect_right(
                counts, total, key=lambda frames: free.plan(frames).num_tokens
            )  # tokens never fall with frames
            count = max(1, fitting)
        if count >= video.num_frames:
            return video
        (found,) = self.model.focus(
            [features], asked, torch.ones_like(asked), plans=[plan]
        )
        times = features.pts_seconds.cpu().double().numpy()
        scores = np.interp(
            times, found.pts_seconds.numpy(), found.scores.double().numpy()
        )
        pooled = features.spatial if features.pooled is None else features.pooled
        given = SelectorInput(
            times=times,
            features=pooled.flatten(1).float(),
            compare=scores.__getitem__ if self.scores_see_question else None,
            question=question,
        )
        chosen = self._selectors[options.method or ""](given, count)
        rows = torch.from_numpy(np.sort(chosen.indices))
        numbers = features.number(rows.to(features.spatial.device))
        taken = replace(features.take(rows), frame_indices=numbers)
        taken = self.model.focus_network.add_events(taken)
        return replace(video, features=taken, thumbnails=None)

    def look_budget(self, video: VideoIndex, options: AskOptions) -> TwoPassBudget:
        """Say what frames cost a method that looks again.

        Where not all frames of a model have as many tokens, it allots what a pass may
        have by itself.
        """
        budget = self._budget(options)
        is_even = self.model.fits_context
        return TwoPassBudget(
            max_video_tokens=budget.max_video_tokens,
            tokens_per_step=budget.minimum if is_even else None,
            scales=(1.0,),
            least=budget.minimum,
            cone_tokens=budget.lengths(2)[0]
            if isinstance(budget, FocusBudget)
            else None,
        )

    def look(
        self, video: VideoIndex, look: Look, reader: VideoReader | None
    ) -> VideoIndex:
        """Give the frames of a look, from the index where it holds them, or the file.

        What is read of a file is kept in the index, as any excerpt is. A compact one
        keeps nothing that frames could be joined by, so all of them are read.
        """
        features = video.features
        held = features.pts_seconds.cpu().double().numpy()
        rows, seconds = find_frames(held, look, reader)
        if seconds is None and (features.is_divisible or reader is None):
            taken = features.take(torch.from_numpy(rows))
            return replace(video, features=taken, thumbnails=None)
        assert reader is not None  # it has the times
        if features.is_divisible:
            part = reader.excerpt(look.start, look.end)
            return self._index(part, AskOptions(fps=look.fps), None)
        seconds = held[rows] if seconds is None else seconds
        side = self.processor.frame_size
        sampled = reader.sample(times=seconds, size=(side, side))
        return self._encode(sampled, AskOptions(), None)[0]

    def join(
        self, video: VideoIndex, seen: Sequence[tuple[Look, VideoIndex]]
    ) -> VideoIndex:
        """Join looks in order of time; events are found anew.

        Where there are Rods of the low frequency, events are of the dense frames alone.
        """
        order, looks = order_looks(seen)
        like = video.features.spatial
        parts = [part.features.to(like.device, like.dtype) for _, part in seen]
        joined = VideoFeatures.join(
            [FrameEncoding(part.pooled, part.spatial, part.patches) for part in parts],
            torch.cat([part.pts_seconds for part in parts]),
        ).take(order)
        is_high = torch.tensor([look.kind == "high" for look in looks])
        features = replace(joined, is_high=is_high.to(like.device))
        if _has_rods(looks):
            network = self.model.focus_network
            features = network.add_events(features, among=features.is_high)
        return replace(video, features=features, thumbnails=None, looks=looks)

    def generate(self, turn: PreparedTurn, **options: Any) -> Tensor:
        """Continue a prompt; gives the new tokens, ``[1, L]``."""
        tokenizer = self.processor.tokenizer
        eos = tokenizer.eos_token_id
        pad = eos if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        output: Tensor = self.model.generate(
            inputs_embeds=turn.embeds,
            attention_mask=turn.attention_mask,
            eos_token_id=eos,
            pad_token_id=pad,
            **options,
        )
        return output

    def map_prototypes(
        self, video: Video, answer: Answer, num_frames: int
    ) -> list[PrototypeMap]:
        """Map the spatial prototypes of the best Cones of an answer."""
        check_count("num_frames", num_frames)
        return map_prototypes(self.model, self.processor, video, answer, num_frames)

    def frame_encoder(self, max_frames: int | None) -> FrameEncoder:
        """Give what encodes the frames of a video that is still coming."""
        from dynfocus.models.frame_encoders import FocusFrames

        return FocusFrames(self.model, self.processor)

    def _budget(self, options: AskOptions) -> TokenBudget:
        budget: TokenBudget = self.model.focus_network.budget(options.max_video_tokens)
        return budget

    def _plans(
        self,
        videos: Sequence[VideoIndex],
        options: AskOptions,
        text: str,
        words: str,
    ) -> list[TokenPlan]:
        """Plan the tokens of each video in a prompt that asks these words.

        A model whose frames all have as many leaves out those that it could not read.
        """
        plans = self._share(videos, options)
        limit = context_limit(self.model.config)
        if not self.model.fits_context or limit is None:
            return plans
        num_words = self.processor.prompt_ids(text, words, [0] * len(videos)).shape[1]
        room = limit - options.max_new_tokens - num_words
        least = len(videos) * self._budget(AskOptions()).minimum
        if sum(plan.num_tokens for plan in plans) <= room or room < least:
            return (
                plans  # if it has no room for a frame, that is said of the whole prompt
            )
        fitting = self._share(videos, options.replace(max_video_tokens=room))
        warnings.warn(
            f"{self.name} reads {limit} tokens, which has room for "
            f"{sum(plan.num_frames for plan in fitting)} of the "
            f"{sum(one.num_frames for one in videos)} frames; the others are left out, "
            "evenly",
            FewerFramesWarning,
            stacklevel=4,
        )
        return fitting

    def _share(
        self, videos: Sequence[VideoIndex], options: AskOptions
    ) -> list[TokenPlan]:
        """Plan the tokens of each video within the budget of all."""
        budgets = [self._budget(options)] * len(videos)
        total = options.max_video_tokens
        if total is not None and len(videos) > 1:
            whole = self._budget(options.replace(max_video_tokens=None))
            wanted = [whole.plan(one.num_frames).num_tokens for one in videos]
            shares = share_budget(total, wanted, [whole.minimum] * len(videos))
            parts = [options.replace(max_video_tokens=share) for share in shares]
            budgets = [self._budget(part) for part in parts]
        pairs = zip(budgets, videos, strict=True)
        return [_told(budget, one).plan(one.num_frames) for budget, one in pairs]

    def _open_store(self, storage: str | None) -> StoredVideos | None:
        """Find the model's part of the index on disk."""
        config, dtype = self.model.config, self.model.vision_tower.dtype
        layouts = index_layouts(config, dtype, storage)
        if self.store is None:
            return None
        fingerprint = ModelFingerprint(
            self.model, self.processor, of_patches=not self._is_plain
        )
        if not fingerprint.is_known:
            _logger.warning("the vision tower of %s is on a disk: no index", self.name)
            return None
        return StoredVideos(self.store, layouts, fingerprint, self.name)

    def _excerpt(self, video: VideoIndex, options: AskOptions) -> VideoIndex:
        """Take an excerpt of an encoded video, with event prototypes of its own."""
        taken = take_excerpt(video, options)
        if taken is video or not self._is_plain:
            return taken
        features = self.model.focus_network.add_events(taken.features)
        return replace(taken, features=features)

    def _find_excerpt(
        self, stored: StoredVideos, reader: VideoReader, sampling: Sampling
    ) -> VideoIndex | None:
        """Take an excerpt of the index of its whole video, if that has its very frames."""
        cut = AskOptions(start=reader.start, end=reader.end)
        for max_frames in dict.fromkeys((sampling.max_frames, None)):
            of_whole = Sampling(
                fps=sampling.fps, max_frames=max_frames, stream=sampling.stream
            )
            whole = stored.open(reader.path, of_whole)
            if whole is not None and holds_excerpt(whole, reader, sampling):
                return self._excerpt(whole, cut)
        return None

    def _encode(
        self, video: Video, options: AskOptions, progress: Progress | None
    ) -> tuple[VideoIndex, str | None]:
        """Read and encode a video; also tell what of it could not be decoded.

        Decoding is the first half of the steps, encoding the second.
        """
        source = VideoSource.open(video, options)
        side = self.processor.frame_size
        decoded = None if progress is None else partial(_first_half, progress)
        most, size = options.max_encoded_frames, (side, side)
        if most is None or most >= source.num_frames:
            sampled = source.read(size, decoded)
        else:
            sampled = source.read_unlike(most, size, decoded)
        num_frames = len(sampled.frames)
        parts = []
        with torch.no_grad():
            for start in range(0, num_frames, WINDOW_FRAMES):
                pixels = self.processor.pixel_values(
                    sampled.frames[start : start + WINDOW_FRAMES]
                )
                parts.append(self.model.encode_frames(pixels))
                if progress is not None:
                    done = min(start + WINDOW_FRAMES, num_frames)
                    progress(num_frames + done, 2 * num_frames)
            features = VideoFeatures.join(parts, torch.from_numpy(sampled.times))
            if sampled.is_high is not None:
                features = replace(features, is_high=torch.from_numpy(sampled.is_high))
            features = self.model.focus_network.add_events(features)
        thumbnails = make_thumbnails(sampled.frames, source.size)
        index = source.index(features, thumbnails)
        if self.is_nano:
            index = replace(index, is_world=look_at_world(sampled.frames))
        return index, sampled.damage


def _first_half(progress: Progress, done: int, total: int) -> None:
    progress(done, 2 * total)


def _has_rods(looks: Sequence[Look] | None) -> bool:
    """Tell whether looks say of which frames Rods are read."""
    return any(look.scale == ROD_SCALE for look in looks or ())


def _told(budget: TokenBudget, video: VideoIndex) -> TokenBudget:
    """Let every event of the dense frames become a Cone, where all others are Rods."""
    if not _has_rods(video.looks) or not isinstance(budget, FocusBudget):
        return budget
    events = video.features.prototypes
    assert events is not None  # `join` has estimated them
    return replace(budget, most_cones=events.frames.shape[1])


def _report_frames(
    tokens: VideoTokens, video: VideoIndex, kinds: tuple[FrameKind, FrameKind]
) -> list[FrameReport]:
    """Tell what became of each frame; their tokens add up to the video's."""
    features, looks = video.features, video.looks
    numbers = features.number(torch.arange(video.num_frames)).tolist()
    times = dict(zip(numbers, features.pts_seconds.tolist(), strict=True))
    columns = zip(
        tokens.frame_indices.tolist(),
        tokens.scores.tolist(),
        tokens.is_cone.tolist(),
        tokens.lengths.tolist(),
        [None] * len(tokens.lengths)
        if tokens.ratings is None
        else tokens.ratings.tolist(),
        strict=True,
    )
    found: dict[int, FrameReport] = {}
    for index, score, is_cone, num_tokens, rating in columns:
        before = found[index].tokens if index in found else 0
        found[index] = FrameReport(
            index=index,
            time=times[index],
            score=score,
            kind=looks[index].kind if looks else kinds[is_cone],
            tokens=before + num_tokens,
            rating=rating,
        )
    return [found[index] for index in sorted(found)]
