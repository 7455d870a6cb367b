"""SlowFocus between patches and language model: a context token and a grid a frame (A1).

Letters beyond the shared ones: V videos, B questions, n query tokens, Dq width of the text
features, E width of the patches that the Q-Former reads, C tokens of the grid, H width of
the language model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from dynfocus.focus._points import average_grid
from dynfocus.focus.cooperative import CooperativeEncoding
from dynfocus.focus.features import FrameEncoding, VideoFeatures
from dynfocus.focus.mixing import Mixing, MixingAttention, TemporalTable
from dynfocus.focus.network import FrameText
from dynfocus.focus.tokens import CountedBudget, TokenPlan, VideoTokens
from dynfocus.validation import Count, checked, from_mapping

if TYPE_CHECKING:
    from dynfocus.focus.question import QuestionHead


@checked
class SlowFocusSettings:
    """Every choice of SlowFocus's network; the paper's by default."""

    grid_size: Count = 8
    """Side of the grid of content tokens of a frame."""

    num_positions: Count = 1000
    """Rows of the temporal table; ``N`` in the paper (Table 8)."""

    mixing: Mixing = "high_from_low"
    """Who looks at whom when there are two frequencies: ``high_from_low`` is the paper,
    ``bi`` the published code, ``off`` is neither."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from a mapping such as ``to_dict`` gives."""
        return from_mapping(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a mapping that JSON can hold."""
        return asdict(self)

    @property
    def tokens_per_frame(self) -> int:
        """Tokens of a frame: one of context and those of the grid."""
        return 1 + self.grid_size**2

    def budget(self, max_video_tokens: int | None = None) -> CountedBudget:
        """Give what counts the tokens of a video, and fits it into a budget."""
        return CountedBudget(
            max_video_tokens=max_video_tokens,
            count=lambda num_frames: self.tokens_per_frame * num_frames,
        )


class SlowFocusNetwork(nn.Module):
    r"""Turn the patches of frames of one or two frequencies into tokens.

    .. math::
        e_t &= \mathrm{mean}_n\, \mathrm{Softmax}_P\Big(
            \frac{W_q Q_t\, (W_k V_t)^\top}{\sqrt D}\Big) V_t \\
        c_t &= \mathrm{Avg}_{8 \times 8}(V_t) + E_{\lfloor N t / T \rfloor} \\
        O_t &= W_v e_t \,\Vert\, \mathrm{MLP}(\mathrm{Mix}(c)_t)

    Symbols: ``V_t`` are the patches of a frame, ``Q_t`` what the Q-Former's queries found
    in it for the question, ``E`` is ``temporal_table``, ``Mix`` is ``mixing`` (Eq. 5). The
    projectors are those of LLaMA-VID, under the names that they have in DynFocus:
    ``W_q``, ``W_k``, ``W_v`` and ``MLP`` are in ``cooperative_encoding``.

    Videos are kept as patches. The context token neither tells its time nor is it mixed.

    Args:
        settings: The choices.
        dim: Width of the patches, ``D``.
        text_dim: Width of the text features, ``Dq``.
        hidden_size: Width of the language model, ``H``.
        reader_dim: Width of the patches that the Q-Former reads, ``E``; patches of
            another are projected to it.
    """

    def __init__(
        self,
        settings: SlowFocusSettings,
        dim: int,
        text_dim: int,
        hidden_size: int,
        reader_dim: int,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.question_head: QuestionHead | None = None
        self.reader_projector = (
            nn.Identity() if reader_dim == dim else nn.Linear(dim, reader_dim)
        )
        self.reader_norm = nn.LayerNorm(reader_dim)
        self.cooperative_encoding = CooperativeEncoding(dim, text_dim, hidden_size)
        self.temporal_table = TemporalTable(settings.num_positions, dim)
        self.mixing: MixingAttention | None = None
        if settings.mixing != "off":
            self.mixing = MixingAttention(dim, settings.mixing)

    def encode(self, patches: Tensor) -> FrameEncoding:
        """Keep the patches of some frames, ``[F, N, D]``, as they are."""
        return FrameEncoding(None, patches)

    def add_events(self, video: VideoFeatures) -> VideoFeatures:
        """Give the video back: nothing else is made of it before a question."""
        return video

    def budget(self, max_video_tokens: int | None = None) -> CountedBudget:
        """Give what counts the tokens of a video, and fits it into a budget."""
        return self.settings.budget(max_video_tokens)

    def num_tokens(self, num_frames: int) -> int:
        """Count the tokens of a video from its number of frames alone."""
        return self.settings.tokens_per_frame * num_frames

    def to_reader(self, patches: Tensor) -> Tensor:
        """Give patches ``[F, N, D]`` as the Q-Former reads them, ``[F, N, E]``."""
        return self.reader_norm(self.reader_projector(patches))

    def forward(
        self,
        videos: Sequence[VideoFeatures],
        *_: Any,
        frame_text: FrameText,
        owners: Sequence[int] | None = None,
        plans: Sequence[TokenPlan] | None = None,
    ) -> list[VideoTokens]:
        """Make the tokens for each question; see `FocusNetwork.forward`.

        Of frames that a plan leaves out, those of the low frequency go first, evenly.

        Args:
            videos: The videos as patches, ``V`` of them.
            *_: Features of the questions alone, which are not read.
            frame_text: Gives the text features of each frame.
            owners: The video of each question; by default question i is about video i.
            plans: How many frames of each video have tokens; by default all.

        Returns:
            The tokens for each question; frames of the high frequency count as Cones.

        Raises:
            ValueError: The patches of a video do not form a square.
        """
        shown = [
            videos[owner].thin(None if plans is None else plans[owner].num_frames)
            for owner in (range(len(videos)) if owners is None else owners)
        ]
        return [
            self._tokens(video, text[: video.num_frames])
            for video, text in zip(shown, frame_text(shown), strict=True)
        ]

    def _tokens(self, video: VideoFeatures, text: Tensor) -> VideoTokens:
        """Make the tokens of one video with the text features ``[T, n, Dq]``."""
        encoding, patches = self.cooperative_encoding, video.spatial
        is_high = video.is_high
        if is_high is None:
            is_high = torch.zeros(video.num_frames, dtype=torch.bool)
        context = encoding.attend(patches[None], text[None], None)[0]  # [T, D]
        content = average_grid(patches, self.settings.grid_size)  # [T, C, D]
        content = self.temporal_table(content, video.pts_seconds, _duration(video))
        if self.mixing is not None:
            content = self.mixing(content, is_high)
        tokens = torch.cat(
            [
                encoding.context_projector(context)[:, None],
                encoding.multi_modal_projector(content),
            ],
            dim=1,
        )  # [T, 1 + C, H]
        numbers = torch.arange(video.num_frames, device=video.pts_seconds.device)
        return VideoTokens(
            embeds=tokens.flatten(0, 1),
            frame_indices=video.number(numbers).cpu(),
            pts_seconds=video.pts_seconds.cpu().double(),
            is_cone=is_high.cpu(),
            lengths=torch.full((video.num_frames,), tokens.shape[1]),
            scores=torch.zeros(video.num_frames),
        )


def _duration(video: VideoFeatures) -> float:
    """Give the length of a video; where it is not known, as if its frames went on."""
    if video.duration is not None:
        return video.duration
    last, count = float(video.pts_seconds[-1]), video.num_frames
    return last * count / (count - 1) if last > 0 and count > 1 else last + 1
