"""What a `VideoModel` asks of whatever encodes: our own networks, a plugged host, words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from dynfocus.index import IndexStore, VideoGroup, VideoIndex
from dynfocus.models.conversation import Answer, PreparedTurn, Turn
from dynfocus.models.encoding import Progress, Video
from dynfocus.models.options import AskOptions

if TYPE_CHECKING:
    from dynfocus.focus import TwoPassBudget
    from dynfocus.methods.loops import Look
    from dynfocus.models.dynfocus.merged_patches import PrototypeMap
    from dynfocus.models.frame_encoders import FrameEncoder
    from dynfocus.video import VideoReader


class Backbone(Protocol):
    """What turns videos and questions into prompts; it holds nothing of a request."""

    @property
    def name(self) -> str:
        """What it was loaded as."""

    @property
    def is_nano(self) -> bool:
        """Whether it is the model that the package ships."""

    @property
    def abilities(self) -> frozenset[str]:
        """What it can beyond answering.

        ``"index"`` on disk, ``"look"`` again, ``"session"``, ``"cones"`` and Rods of
        frames, ``"maps"`` of prototypes, ``"scores"`` of frames, ``"text"`` without a
        video, ``"turns"`` of a conversation, and ``"prompt_embeds"`` for a server that
        runs its language model.
        """

    @property
    def methods(self) -> tuple[str, ...]:
        """Names that ``method`` accepts."""

    @property
    def time_grid(self) -> int | None:
        """How many steps of a video its times are written in; None for seconds."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Words that hold the place of a video in its prompts."""

    @property
    def store(self) -> IndexStore | None:
        """Where encoded files are kept on disk."""

    @property
    def model(self) -> Any:
        """The model of transformers."""

    @property
    def processor(self) -> Any:
        """Its processor, which has a ``tokenizer``."""

    @property
    def scores_see_question(self) -> bool:
        """Whether the scores of frames depend on the question."""

    def check(self, options: AskOptions, num_videos: int = 1) -> None:
        """Refuse options that cannot be followed for so many videos, before any work."""

    def index(
        self, video: Video, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Encode a video for any question and budget, or open its index."""

    def find(self, video: Video, options: AskOptions) -> VideoIndex | None:
        """Open the index of a video if it is on disk; None where it is not."""

    def encode(
        self, video: Video, options: AskOptions, progress: Progress | None
    ) -> VideoIndex:
        """Encode a video as far as questions with these options need it."""

    def prepare(
        self,
        video: VideoIndex | VideoGroup,
        question: str,
        options: AskOptions,
        history: Sequence[Turn],
    ) -> PreparedTurn:
        """Spend the budget on all videos and write the prompt of a question about it."""

    def look_budget(self, video: VideoIndex, options: AskOptions) -> TwoPassBudget:
        """Say what frames cost a method that looks again."""

    def look(
        self, video: VideoIndex, look: Look, reader: VideoReader | None
    ) -> VideoIndex:
        """Give the frames of a look, from the index where it holds them, or the file."""

    def join(
        self, video: VideoIndex, seen: Sequence[tuple[Look, VideoIndex]]
    ) -> VideoIndex:
        """Join looks in order of time, for `prepare`; a frame of two is of the later."""

    def generate(self, turn: PreparedTurn, **options: Any) -> Tensor:
        """Continue a prompt with ``generate`` of transformers; the new tokens."""

    def map_prototypes(
        self, video: Video, answer: Answer, num_frames: int
    ) -> list[PrototypeMap]:
        """Tell what the spatial prototypes of the best Cones merged."""

    def frame_encoder(self, max_frames: int | None) -> FrameEncoder:
        """Give what encodes the frames of a video that is still coming."""
