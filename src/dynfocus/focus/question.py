"""What is ours and not in the paper: the question has a say in what is read and said.

`QuestionHead` enters `FocusNetwork` at three places: `QuestionHead.choose_frames` says
which frames of a long video have tokens, `QuestionHead.score` which events are kept and
which of their frames, and `QuestionHead.mark` adds to the tokens of each frame how well
it fits the question, how often that has come so far, and what time it is. Without this
file the network is the paper's.

Letters beyond the shared ones: ``M`` spatial prototypes of a frame, ``L`` event
prototypes, ``P`` event tokens, ``n`` text tokens, ``Dq`` width of the text features,
``H`` width of the language model, ``R`` frames that have tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from dynfocus.focus._points import at_least_single
from dynfocus.focus.cooperative import text_weights
from dynfocus.focus.events import EventBatch, EventPrototypes
from dynfocus.focus.features import VideoFeatures, fill_evenly
from dynfocus.focus.settings import QuestionSettings
from dynfocus.focus.tokens import VideoTokens

_NUM_MARKS = 3
_NUM_VISITS = 10
_BEGINS = 0.9
_ENDS = 0.1
_NUM_WORDS = 4
_MAX_WIDTH = 128
_LEAST_CHANGE = 0.1
"""A change of the rating below this is not taken for one."""
_CLOCK_DIGITS = ((6000, 10), (600, 10), (60, 10), (10, 6), (1, 10))
"""Seconds that a digit counts and its number of values, in ``mmm:ss``."""


class QuestionHead(nn.Module):
    """Let the question choose frames and mark tokens; this is not in the paper.

    Args:
        settings: Which of its parts there are.
        dim: Width of the patches, ``D``.
        text_dim: Width of the text features, ``Dq``.
        hidden_size: Width of the language model, ``H``.
    """

    def __init__(
        self, settings: QuestionSettings, dim: int, text_dim: int, hidden_size: int
    ) -> None:
        super().__init__()
        self.use_best_frames = settings.use_best_frames
        self.event_context: EventContext | None = None
        if settings.use_question_scores:
            self.event_context = EventContext(dim, text_dim)
        self.rating: FrameRating | None = None
        if settings.use_ratings:
            self.rating = FrameRating(
                dim, text_dim, hidden_size, settings.use_visit_counts
            )
        self.clock = Clock(hidden_size) if settings.use_clock else None

    def draw_marks(self, std: float) -> None:
        """Draw what is added to tokens anew; this is not in the paper.

        Args:
            std: Standard deviation of the entries. It should be that of the language
                model's word embeddings: marks much weaker are not heard.
        """
        if self.clock is not None:
            self.clock.tables.weight.data.copy_(self.clock.draw_tables(std))
        if self.rating is not None:
            self.rating.draw_marks(std)

    def rate(
        self, spatial: Tensor, text: Tensor | None, text_mask: Tensor | None
    ) -> Tensor | None:
        """Rate how well each frame fits the question; this is not in the paper.

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            text: Text features, ``[B, n, Dq]``, or ``[B, T, n, Dq]`` of each frame.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            Ratings, shape ``[B, T]``, or None where frames are not rated.
        """
        if self.rating is None or text is None:
            return None
        return self.rating.rate(spatial, text, text_mask)

    @torch.no_grad()
    def choose_frames(
        self,
        video: VideoFeatures,
        num_keep: int,
        text: Tensor | None,
        text_mask: Tensor | None,
    ) -> Tensor:
        """Choose the frames of a long video that have tokens; this is not in the paper.

        The centres of the event prototypes stay, so that each of them can become a Cone.
        Where frames are rated, so do the best frames of the quarter of the events that
        fit best, and up to half of the rest are the frames between which the rating
        changes most, so that what is asked for is seen to come and go. What remains is
        taken evenly from the other frames.

        Args:
            video: A video with its event prototypes.
            num_keep: Frames to keep, from 1 to ``T``; ``R``.
            text: The question about it, ``[1, n, Dq]``.
            text_mask: True at its real text tokens, ``[1, n]``.

        Returns:
            Increasing frame indices, shape ``[R]``, int64.
        """
        events = video.prototypes
        assert events is not None  # the network estimates them first
        centers = events.frames[0]
        is_kept = torch.zeros_like(video.pts_seconds, dtype=torch.bool)
        is_kept[centers] = True
        ratings = self.rate(video.spatial[None], text, text_mask)
        if ratings is not None and num_keep >= len(centers):
            fits = ratings[0].sigmoid()
            is_kept |= _edges(fits, (num_keep - len(centers)) // 2)
            frames, best = best_frames(events, fits[None])
            order = best[0].sort(descending=True, stable=True).indices
            fitting = frames[0, order[: max(1, len(order) // 4)]]
            is_kept[fitting[: max(0, num_keep - int(is_kept.sum()))]] = True
        return fill_evenly(is_kept, num_keep)

    def see_events(
        self,
        events: EventBatch,
        centers: Tensor,
        text: Tensor | None,
        text_mask: Tensor | None,
    ) -> Tensor | None:
        """Let the score network see the question; this is not in the paper.

        Args:
            events: The prototypes of each video.
            centers: Spatial prototypes of their centre frames, ``[B, L, M, D]``.
            text: Text features of the question, ``[B, n, Dq]``.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            Context for `EventPrototypes.score`, ``[B, L, 2 D]``, or None without.
        """
        if self.event_context is None:
            return None
        context: Tensor = self.event_context(events.features, centers, text, text_mask)
        return context

    def score(
        self,
        network: EventPrototypes,
        events: EventBatch,
        spatial: Tensor,
        question: tuple[Tensor | None, Tensor | None],
        frame_text: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Score events in view of the question; this is not in the paper.

        Args:
            network: What scores them.
            events: The prototypes of each video.
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            question: Text features of the question, ``[B, n, Dq]``, and their mask.
            frame_text: What frames are rated by, as in `rate`.

        Returns:
            Raw scores ``[B, L]``; the frame that stands for each prototype, ``[B, L]``, or
            None for the centres; ratings of frames, ``[B, T]``, or None.
        """
        context = self.see_events(events, events.at_centers(spatial), *question)
        scores = network.score(events, context)
        ratings = self.rate(spatial, *frame_text)
        if ratings is None or not self.use_best_frames:
            return scores, None, ratings
        frames, best = best_frames(events, ratings)
        return scores + best, frames, ratings

    def mark(
        self, tokens: Sequence[VideoTokens], ratings: Tensor | None, mask: Tensor | None
    ) -> list[VideoTokens]:
        """Add the time of each frame and how well it fits; this is not in the paper.

        Args:
            tokens: The tokens of each video, ``B`` of them; a time that is NaN is not
                said.
            ratings: What `rate` gave, shape ``[B, T]``.
            mask: True at real frames, shape ``[B, T]``.
        """
        marks, fits = None, None
        if self.rating is not None and ratings is not None:
            marks = self.rating(ratings, mask)  # [B, T, H]
            fits = ratings.detach().sigmoid().cpu()
        marked = []
        for row, video in enumerate(tokens):
            embeds = video.embeds
            frame = video.frame_of_token.to(embeds.device)
            if self.clock is not None:
                timed = ~video.pts_seconds.isnan()
                clock = self.clock(video.pts_seconds.where(timed, 0)).to(embeds)
                embeds = embeds + (clock * timed[:, None].to(embeds))[frame]
            if marks is not None:
                embeds = embeds + marks[row, frame]
            rated = None if fits is None else fits[row, : len(video.lengths)]
            marked.append(replace(video, embeds=embeds, ratings=rated))
        return marked


class EventContext(nn.Module):
    r"""What the score network sees of the question; this is not in the paper.

    .. math::
        c_l = \frac1n \sum_{j=1}^n \mathrm{Softmax}\Big(
            \frac{f_a(Q_j)\, f_b(X_l)^\top}{\sqrt D}\Big) X_l
        \qquad
        q = \frac1n \sum_{j=1}^n f_c(Q_j)
        \qquad
        (c_l \,\Vert\, c_l \odot q)

    ``X_l`` are the event tokens of prototype ``l`` and the spatial prototypes of
    its centre frame, ``Q`` the text features; ``f_a`` is ``query_projector``,
    ``f_b`` is ``key_projector`` and ``f_c`` is ``question_projector``.
    """

    def __init__(self, dim: int, text_dim: int) -> None:
        super().__init__()
        self.query_projector = nn.Linear(text_dim, dim)
        self.key_projector = nn.Linear(dim, dim)
        self.question_projector = nn.Linear(text_dim, dim)

    def forward(
        self,
        events: Tensor,
        spatial: Tensor | None,
        text: Tensor | None,
        text_mask: Tensor | None,
    ) -> Tensor:
        """Attend from the question to each prototype.

        Args:
            events: Event tokens of the prototypes, shape ``[B, L, P, D]``.
            spatial: Spatial prototypes of the centre frames, ``[B, L, M, D]``.
            text: Text features of the question, ``[B, n, Dq]``.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            ``c_l || c_l * q``, shape ``[B, L, 2 D]``.
        """
        if text is None:
            raise ValueError(
                "text must be given for use_question_scores, got None; pass the "
                "question's features or switch it off"
            )
        tokens = events if spatial is None else torch.cat([events, spatial], dim=2)
        weights = text_weights(text, text_mask)  # [B, n]
        text = text.masked_fill(weights[..., None] == 0, 0)
        queries = self.query_projector(text)
        keys = self.key_projector(tokens)
        logits = at_least_single(torch.einsum("bnd,blmd->blnm", queries, keys))
        attention = (logits / math.sqrt(keys.shape[3])).softmax(dim=3)
        attention = torch.einsum("bn,blnm->blm", weights, attention)
        context = torch.einsum("blm,blmd->bld", attention.to(tokens.dtype), tokens)
        projected = self.question_projector(text)
        question = torch.einsum("bn,bnd->bd", weights.to(projected.dtype), projected)
        return torch.cat([context, context * question[:, None]], dim=2)


class FrameRating(nn.Module):
    r"""Mark the frames that show what the question is about; this is not in the paper.

    .. math::
        q_a &= \sum_{j=1}^n \mathrm{Softmax}_j\big(w_a^\top Q_j\big)\, f(Q_j)
        \in \mathbb R^C, \quad a = 1 \ldots A
        \qquad k_{tm} = f_b(G_{tm}) \in \mathbb R^C \\
        s_t &= \max_m \mathcal M\big(k_{tm} \odot q_1 \,\Vert\, \ldots \,\Vert\,
            k_{tm} \odot q_A \,\Vert\, k_{tm}\big)
        \qquad \rho_t = \sigma(s_t) \\
        r_t &= \rho_t\, e_1 + [\rho_t - \rho_{t-1}]_+\, e_2
            + [\rho_t - \rho_{t+1}]_+\, e_3

    ``G_t`` are the spatial prototypes of frame ``t``, ``Q`` the text features, ``M`` a
    two-layer perceptron (``combine`` and ``decide``), ``w`` is ``word_weights``, ``f`` is ``question_projector``,
    ``f_b`` is ``key_projector``, ``e`` is ``marks``; beyond the first and the last frame
    ``rho = 0``. ``r_t`` is added to the tokens of frame ``t``. Each of the four ``q_a``
    may hold another word of the question.

    The softmax of Eq. 11 picks the prototype that fits the question best, and says
    nothing of how well it fits: a frame without what is asked for gives a token like
    any other. ``rho_t`` says it, and its two slopes say where what is asked for comes
    and goes, which is what counting, order and times need.

    With ``counts_visits`` the tokens also say how often it has come so far, because a
    language model adds up badly: a visit begins where ``rho`` reaches 0.9 and ends where
    it falls below 0.1, and row ``min(n_t, 9)`` of ``visits`` is added to ``r_t``, where
    ``n_t`` is the number of visits that have begun up to frame ``t``.
    """

    def __init__(
        self, dim: int, text_dim: int, hidden_size: int, counts_visits: bool = False
    ) -> None:
        super().__init__()
        width = min(dim, _MAX_WIDTH)
        self.word_weights = nn.Linear(text_dim, _NUM_WORDS, bias=False)
        self.question_projector = nn.Linear(text_dim, width)
        self.key_projector = nn.Linear(dim, width)
        self.combine = nn.Linear((_NUM_WORDS + 1) * width, width)
        self.decide = nn.Linear(width, 1)
        self.marks = nn.Embedding(_NUM_MARKS, hidden_size)
        self.visits: nn.Embedding | None = None
        if counts_visits:
            self.visits = nn.Embedding(_NUM_VISITS, hidden_size)

    def draw_marks(self, std: float) -> None:
        """Draw what is added to tokens anew.

        Args:
            std: Standard deviation of the entries. It should be that of the language
                model's word embeddings: marks much weaker are not heard.
        """
        for table in (self.marks, self.visits):
            if table is not None:
                nn.init.normal_(table.weight, std=std)

    def rate(self, spatial: Tensor, text: Tensor, text_mask: Tensor | None) -> Tensor:
        """Rate how well each frame fits the question.

        Args:
            spatial: Spatial prototypes, shape ``[B, T, M, D]``.
            text: Text features, ``[B, n, Dq]``, or ``[B, T, n, Dq]`` of each frame.
            text_mask: True at real text tokens, ``[B, n]``.

        Returns:
            ``s_t``, shape ``[B, T]``, at least float32.
        """
        present = text_weights(text, text_mask) > 0  # [B, n]
        if text.ndim == 3:
            text = text[:, None]
        unused = ~present[:, None, :, None]
        text = text.masked_fill(unused, 0)  # [B, T or 1, n, Dq]
        scores = self.word_weights(text)  # under autocast not of the text's precision
        least = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(unused, least).softmax(2)
        words = weights.mT @ self.question_projector(text)  # [B, T or 1, A, C]
        # the products with all words and their layer are one matrix of the question
        parts = self.combine.weight.view(-1, _NUM_WORDS + 1, words.shape[3])
        matrix = torch.einsum("oac,btac->btoc", parts[:, :-1], words) + parts[:, -1]
        keys = self.key_projector(spatial)  # [B, T, M, C]
        per_frame = keys.unflatten(1, (matrix.shape[1], -1)).flatten(2, 3)
        hidden = (per_frame @ matrix.mT).view_as(keys) + self.combine.bias
        return at_least_single(self.decide(gelu(hidden)).squeeze(3).amax(2))

    def forward(self, ratings: Tensor, mask: Tensor) -> Tensor:
        """Mark frames.

        Args:
            ratings: ``s_t`` as `rate` gives it, shape ``[B, T]``.
            mask: True at real frames, shape ``[B, T]``.

        Returns:
            ``r_t``, shape ``[B, T, H]``; 0 where there is no frame.
        """
        fits = ratings.sigmoid() * mask
        nothing = fits.new_zeros(len(fits), 1)
        comes = (fits - torch.cat([nothing, fits[:, :-1]], 1)).clamp(min=0)
        goes = (fits - torch.cat([fits[:, 1:], nothing], 1)).clamp(min=0)
        amounts = torch.stack([fits, comes, goes], dim=2)
        marks = amounts.to(self.marks.weight.dtype) @ self.marks.weight
        if self.visits is None:
            return marks
        visits = number_visits(fits).clamp(max=_NUM_VISITS - 1)
        return marks + self.visits(visits) * mask[..., None]


def number_visits(fits: Tensor) -> Tensor:
    """Count how often what fits has come so far.

    Args:
        fits: How well each frame fits, from 0 to 1, shape ``[B, T]``.

    Returns:
        Visits that have begun up to each frame, shape ``[B, T]``, int64.
    """
    is_clear = (fits >= _BEGINS) | (fits < _ENDS)
    frames = torch.arange(fits.shape[1], device=fits.device)
    last = torch.where(is_clear, frames, -1).cummax(1).values  # [B, T]
    is_there = (fits >= _BEGINS).gather(1, last.clamp(min=0)) & (last >= 0)
    before = torch.cat([torch.zeros_like(is_there[:, :1]), is_there[:, :-1]], 1)
    return (is_there & ~before).cumsum(1)


class Clock(nn.Module):
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


def best_frames(events: EventBatch, ratings: Tensor) -> tuple[Tensor, Tensor]:
    """Find the frame of each prototype that is rated highest; this is not in the paper.

    Args:
        events: The prototypes of each video.
        ratings: Rating of each frame, shape ``[B, T]``.

    Returns:
        That frame, ``[B, L]``, -1 in padding, and its rating, ``[B, L]``, 0 there.
    """
    slots = torch.arange(events.mask.shape[1], device=events.mask.device)
    is_own = events.assignment[:, None] == slots[:, None]  # [B, L, T]
    best = ratings[:, None].masked_fill(~is_own, -torch.inf).max(2)
    return best.indices.where(events.mask, -1), best.values.where(events.mask, 0)


def _edges(fits: Tensor, most: int) -> Tensor:
    """Mark both frames of the largest changes, at most ``most`` frames, ``[T]``."""
    changes = fits.diff().abs()  # [T - 1]
    count = min(most // 2, len(changes))
    largest = changes.topk(count).indices
    largest = largest[changes[largest] >= _LEAST_CHANGE]
    is_edge = torch.zeros_like(fits, dtype=torch.bool)
    is_edge[largest] = True
    is_edge[largest + 1] = True
    return is_edge
