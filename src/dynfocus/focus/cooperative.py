"""Compact cooperative encoding: CCE (Eq. 10-13).

Letters beyond the shared ones: ``F`` frames of any videos, ``M`` spatial
prototypes of a frame, ``P`` event tokens, ``n`` text tokens, ``Dq`` width of the
text features, ``H`` width of the language model.
"""

import math

import torch
from torch import Tensor, nn

from dynfocus.focus.events import EventSelection
from dynfocus.focus.official import lone_frames
from dynfocus.focus.relevance import RelevanceEncoding
from dynfocus.focus.scoring import at_least_single, text_weights
from dynfocus.focus.settings import FocusSettings
from dynfocus.focus.tokens import NUM_ROD_TOKENS, VideoTokens

_CLOCK_DIGITS = ((6000, 10), (600, 10), (60, 10), (10, 6), (1, 10))
"""Seconds that a digit counts and its number of values, in ``mmm:ss``."""


class ClockEncoding(nn.Module):
    """Embed the time of a frame as the digits of a clock; this is not in the paper.

    The time is rounded to whole seconds and written ``mmm:ss``; each digit has an
    embedding, and their sum is added to the tokens of the frame. The tables of the
    five digits lie one after the other in ``tables``.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.tables = nn.Embedding(sum(n for _, n in _CLOCK_DIGITS), hidden_size)
        with torch.no_grad():
            self.tables.weight.copy_(self.draw_tables(0.02))

    def draw_tables(self, std: float) -> Tensor:
        """Draw tables to start from, in which digits that follow each other are alike.

        The rows of a table are a random mixture of cosines over its digits, slow ones
        most, so earlier and later can be told apart along a line from the start.

        Args:
            std: Standard deviation of the entries. It should be that of the language
                model's word embeddings: a clock much weaker is not heard.

        Returns:
            Weights for ``tables``.
        """
        weight = self.tables.weight
        parts = []
        for _, num_values in _CLOCK_DIGITS:
            waves = torch.arange(1.0, num_values, device=weight.device)  # [n - 1]
            digits = torch.arange(num_values, device=weight.device) + 0.5  # [n]
            slopes = torch.cos(torch.pi / num_values * digits[:, None] * waves) / waves
            noise = torch.randn(num_values - 1, weight.shape[1], device=weight.device)
            rows = slopes @ noise
            parts.append(rows * std / rows.square().mean().sqrt())
        return torch.cat(parts).to(weight.dtype)

    def forward(self, pts_seconds: Tensor) -> Tensor:
        """Embed times.

        Args:
            pts_seconds: Presentation times, shape ``[F]``.

        Returns:
            Embeddings, shape ``[F, H]``.
        """
        seconds = pts_seconds.double().add(0.5).floor()
        limit = _CLOCK_DIGITS[0][0] * _CLOCK_DIGITS[0][1]
        outside = ~((seconds >= 0) & (seconds < limit))
        if bool(outside.any()):
            raise ValueError(
                "pts_seconds must be from 0 to 999:59 minutes for use_clock, got "
                f"{pts_seconds[outside][0].item()}; shorten the video or switch it off"
            )
        whole = seconds.long()
        rows, first = [], 0
        for unit, num_values in _CLOCK_DIGITS:
            rows.append(first + whole // unit % num_values)
            first += num_values
        index = torch.stack(rows, dim=1).to(self.tables.weight.device)
        return self.tables(index).sum(1)


class CooperativeEncoding(nn.Module):
    r"""Encode kept frames finely and all frames coarsely: CCE (Eq. 10-13).

    .. math::
        U_{t,1} &= \mathcal F_{fine}(h_{k(t)} \,\Vert\, G_t)
            \in \mathbb R^{(P+M) \times H} \quad \text{(Cones, Eq. 10)} \\
        E_t &= \mathrm{Softmax}_M\Big(
            \frac{f_k(Q)\, f_q(G_t)^\top}{\sqrt d}\Big) G_t
            \in \mathbb R^{n \times D} \quad \text{(Eq. 11)} \\
        U_{t,0} &= \mathcal F_{coarse}(\mathrm{Avg}(E_t) \,\Vert\, \mathrm{Avg}(G_t))
            \in \mathbb R^{2 \times H} \quad \text{(Rods, Eq. 12)} \\
        O_t &= b_t (U_{t,1} \,\Vert\, U_{t,0}) + (1 - b_t)\, U_{t,0}
            \quad \text{(Eq. 13, a choice of length)}

    Symbols: ``h_k`` is ``selection.events``, ``b_t`` is ``selection.cone_mask``,
    ``G_t`` is ``spatial``, ``Q`` is ``text``; ``F_fine`` is
    ``multi_modal_projector``, ``f_k`` is ``query_projector``, ``f_q`` is
    ``key_projector``. ``F_coarse`` is ``context_projector`` for ``Avg(E_t)`` and
    ``multi_modal_projector`` for ``Avg(G_t)``. ``O_t`` of all frames in time order
    is ``VideoTokens.embeds``.

    Differs from the paper:
        Eq. 11 is printed with a product of shapes that do not fit; here each text
        token attends over the ``M`` spatial prototypes, as in the published code.
        Without ``cones_with_rods`` a kept frame has its Cones only, and the frame
        of a single-frame video has its Rods first. ``use_clock`` adds the time
        and ``use_ratings`` how well the frame fits the question.
    """

    def __init__(
        self, settings: FocusSettings, dim: int, text_dim: int, hidden_size: int
    ) -> None:
        super().__init__()
        self.settings = settings
        self.multi_modal_projector = nn.Sequential(
            nn.Linear(dim, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
        )
        self.query_projector = nn.Linear(text_dim, dim)
        self.key_projector = nn.Linear(dim, dim)
        self.context_projector = nn.Linear(dim, hidden_size)
        ours = settings.extensions
        self.time_encoding = ClockEncoding(hidden_size) if ours.use_clock else None
        self.relevance_encoding: RelevanceEncoding | None = None
        if ours.use_ratings:
            self.relevance_encoding = RelevanceEncoding(
                dim, text_dim, hidden_size, ours.use_visit_counts
            )

    def attention(
        self, spatial: Tensor, text: Tensor, text_mask: Tensor | None
    ) -> Tensor:
        """Average over text tokens how strongly each looks at a prototype (Eq. 11).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            text: Text features, ``[B, n, Dq]``, or ``[B, T, n, Dq]`` of each frame.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            Weights of each frame, shape ``[B, T, M]``, at least float32; they sum to
            1, or to 0 if there is no text token.
        """
        weights = text_weights(text, text_mask)  # [B, n]
        if text.ndim == 3:
            text = text[:, None]
        unused = (weights == 0)[:, None, :, None]
        queries = self.query_projector(text.masked_fill(unused, 0))
        keys = self.key_projector(spatial)  # [B, T, M, D]
        logits = at_least_single(queries @ keys.transpose(2, 3))
        attention = (logits / math.sqrt(keys.shape[3])).softmax(dim=3)  # [B, T, n, M]
        return torch.einsum("bn,btnm->btm", weights, attention)

    def attend(self, spatial: Tensor, text: Tensor, text_mask: Tensor | None) -> Tensor:
        """Average over text tokens what each finds in a frame (Eq. 11, Avg of 12).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            text: Text features, as in ``attention``.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            ``Avg(E_t)``, shape ``[B, T, D]``; 0 if there is no text token.
        """
        attention = self.attention(spatial, text, text_mask).to(spatial.dtype)
        return torch.einsum("btm,btmd->btd", attention, spatial)

    def rate(
        self, spatial: Tensor, text: Tensor, text_mask: Tensor | None
    ) -> Tensor | None:
        """Rate how well each frame fits the question, where ``use_ratings`` says so.

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            text: Text features, as in ``attention``.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            Ratings, shape ``[B, T]``, or None.
        """
        if self.relevance_encoding is None:
            return None
        return self.relevance_encoding.rate(spatial, text, text_mask)

    def mark(self, ratings: Tensor | None, mask: Tensor) -> Tensor | None:
        """Turn ratings into what is added to the tokens of each frame.

        Args:
            ratings: What `rate` gave, shape ``[B, T]``, or None.
            mask: True at real frames, shape ``[B, T]``.

        Returns:
            Marks, shape ``[B, T, H]``, or None where frames are not rated.
        """
        if self.relevance_encoding is None:
            return None
        marks: Tensor = self.relevance_encoding(ratings, mask)
        return marks

    def rods(
        self,
        spatial: Tensor,
        mask: Tensor,
        text: Tensor,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Encode each real frame in two tokens (Eq. 11, 12).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            mask: True at real frames, shape ``[B, T]``.
            text: Text features, ``[B, n, Dq]`` or ``[B, T, n, Dq]``.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            ``U_t0`` of the real frames in a row, shape ``[F, 2, H]``.
        """
        context = self.attend(spatial, text, text_mask)[mask]  # [F, D]
        content = spatial[mask].mean(1)
        pair = [self.context_projector(context), self.multi_modal_projector(content)]
        if self.settings.rods_order == "content_first":
            pair.reverse()
        return torch.stack(pair, dim=1)

    def cones(self, spatial: Tensor, selection: EventSelection) -> Tensor:
        """Encode each kept frame finely (Eq. 10).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            selection: The kept prototypes.

        Returns:
            ``U_t1`` of the kept frames in a row, shape ``[sum K, P + M, H]``.
        """
        entry, slot = selection.mask.nonzero(as_tuple=True)
        kept = spatial[entry, selection.frames[entry, slot]]  # [sum K, M, D]
        events = selection.events[entry, slot].to(kept.dtype)
        return self.multi_modal_projector(torch.cat([events, kept], dim=1))

    def forward(
        self,
        spatial: Tensor,
        mask: Tensor,
        selection: EventSelection,
        text: Tensor,
        text_mask: Tensor | None = None,
        pts_seconds: Tensor | None = None,
        ratings: Tensor | None = None,
    ) -> list[VideoTokens]:
        """Encode and assemble the tokens of each video (Eq. 10-13).

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            mask: True at real frames, shape ``[B, T]``.
            selection: The kept prototypes.
            text: Text features, ``[B, n, Dq]``, or ``[B, T, n, Dq]`` of each frame.
            text_mask: True at real text tokens, ``[B, n]``.
            pts_seconds: Presentation time of each frame, ``[B, T]``.
            ratings: What `rate` gives, ``[B, T]``, where it is known already.

        Returns:
            The tokens of each video, ``B`` of them.
        """
        if self.time_encoding is not None and pts_seconds is None:
            raise ValueError(
                "pts_seconds must be given for use_clock, got None; pass the time of "
                "each frame or switch it off"
            )
        rods = self.rods(spatial, mask, text, text_mask)
        cones = self.cones(spatial, selection)
        if ratings is None:
            ratings = self.rate(spatial, text, text_mask)
        marks = self.mark(ratings, mask)
        relevance = None if marks is None else marks[mask]
        mask, is_cone = mask.cpu(), selection.cone_mask.cpu()
        lengths, embeds = self._assemble(cones, rods, mask, is_cone)
        times = torch.full(mask.shape, torch.nan, dtype=torch.float64)
        if pts_seconds is not None:
            times = pts_seconds.detach().cpu().double()
        frame = torch.arange(len(lengths)).repeat_interleave(lengths).to(embeds.device)
        if self.time_encoding is not None:
            clock = self.time_encoding(times[mask]).to(embeds.dtype)
            embeds = embeds + clock[frame]
        if relevance is not None:
            embeds = embeds + relevance[frame]
        scores = selection.frame_scores.detach().cpu()
        return _split_videos(embeds, lengths, mask, is_cone, times, scores)

    def _assemble(
        self, cones: Tensor, rods: Tensor, mask: Tensor, is_cone: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Lay all tokens out in time order (Eq. 13).

        Args:
            cones: Cones of the kept frames, shape ``[sum K, P + M, H]``.
            rods: Rods of all frames, shape ``[F, 2, H]``.
            mask: True at real frames, shape ``[B, T]``, on the CPU.
            is_cone: True at kept frames, shape ``[B, T]``, on the CPU.

        Returns:
            Number of tokens of each frame, ``[F]``, and the embeddings of all
            videos in a row, ``[sum S, H]``.
        """
        num_cone_tokens = cones.shape[1]
        cone = is_cone[mask]  # [F]
        alone = lone_frames(mask)
        with_rods = ~cone | alone | self.settings.cones_with_rods
        lengths = cone * num_cone_tokens + with_rods * NUM_ROD_TOKENS
        starts = lengths.cumsum(0) - lengths
        rods_first = alone & (not self.settings.cones_with_rods)
        cone_starts = starts + NUM_ROD_TOKENS * rods_first
        rod_starts = starts + num_cone_tokens * (cone & ~rods_first)
        place = torch.cat(
            [
                _ranges(cone_starts[cone], num_cone_tokens),
                _ranges(rod_starts[with_rods], NUM_ROD_TOKENS),
            ]
        )
        used = with_rods.nonzero().squeeze(1).to(rods.device)
        tokens = torch.cat([cones.flatten(0, 1), rods[used].flatten(0, 1)])
        source = torch.empty_like(place)
        source[place] = torch.arange(len(place))  # place is a permutation
        return lengths, tokens[source.to(tokens.device)]


def _ranges(starts: Tensor, length: int) -> Tensor:
    """Return ``start, start + 1, ..`` of each start in a row."""
    return (starts[:, None] + torch.arange(length)).flatten()


def _split_videos(
    embeds: Tensor,
    lengths: Tensor,
    mask: Tensor,
    is_cone: Tensor,
    times: Tensor,
    scores: Tensor,
) -> list[VideoTokens]:
    num_frames = mask.sum(1).tolist()
    videos = torch.split(lengths, num_frames)
    num_tokens = [int(video.sum()) for video in videos]
    return [
        VideoTokens(
            embeds=tokens,
            frame_indices=keep.nonzero().squeeze(1),
            pts_seconds=time[keep],
            is_cone=cone[keep],
            starts=video.cumsum(0) - video,
            lengths=video,
            scores=score[keep],
        )
        for tokens, video, keep, cone, time, score in zip(
            torch.split(embeds, num_tokens),
            videos,
            mask,
            is_cone,
            times,
            scores,
            strict=True,
        )
    ]
