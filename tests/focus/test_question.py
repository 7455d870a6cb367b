"""What is ours: ratings, marks, counts, clock, best frames, and which frames are read."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dynfocus.focus import (
    EventPrototypes,
    FocusNetwork,
    FocusSettings,
    QuestionSettings,
    VideoFeatures,
    VideoTokens,
)
from dynfocus.focus.question import (
    Clock,
    EventContext,
    FrameRating,
    QuestionHead,
    number_visits,
)

DIM, TEXT_DIM, HIDDEN = 6, 5, 7


@pytest.fixture
def encoding() -> FrameRating:
    torch.manual_seed(0)
    encoding = FrameRating(DIM, TEXT_DIM, HIDDEN)
    for parameter in encoding.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return encoding


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def literal_rating(
    encoding: FrameRating, frame: torch.Tensor, text: torch.Tensor
) -> float:
    """Follow the equations of the docstring for one frame ``[M, D]``, a loop at a time."""
    projected = [encoding.question_projector(token) for token in text]
    words = []
    for row in encoding.word_weights.weight:
        shares = [math.exp(float(row @ token)) for token in text]
        parts = [s / sum(shares) * p for s, p in zip(shares, projected, strict=True)]
        words.append(torch.stack(parts).sum(0))
    ratings = []
    for prototype in frame:
        key = encoding.key_projector(prototype)
        inputs = torch.cat([*(key * word for word in words), key])
        hidden = torch.nn.functional.gelu(encoding.combine(inputs))
        ratings.append(float(encoding.decide(hidden)))
    return max(ratings)


def test_the_rating_is_the_best_match_of_a_prototype_with_the_words(encoding):
    spatial, text = draw(2, 3, 4, DIM), draw(2, 5, TEXT_DIM, seed=2)
    ratings = encoding.rate(spatial, text, None).detach()
    assert ratings.shape == (2, 3)
    for video in range(2):
        for frame in range(3):
            expected = literal_rating(encoding, spatial[video, frame], text[video])
            assert float(ratings[video, frame]) == pytest.approx(expected, abs=1e-4)


def test_words_that_are_padding_are_not_heard(encoding):
    spatial, text = draw(1, 3, 4, DIM), draw(1, 5, TEXT_DIM, seed=2)
    mask = torch.tensor([[True, True, True, False, False]])
    changed = text.clone()
    changed[0, 3:] = torch.nan
    heard = encoding.rate(spatial, changed, mask)
    torch.testing.assert_close(heard, encoding.rate(spatial, text[:, :3], None))


def test_a_question_of_each_frame_counts_for_that_frame(encoding):
    spatial, text = draw(1, 3, 4, DIM), draw(1, 3, 5, TEXT_DIM, seed=2)
    together = encoding.rate(spatial, text, None)
    for frame in range(3):
        alone = encoding.rate(spatial[:, frame : frame + 1], text[:, frame], None)
        torch.testing.assert_close(together[:, frame], alone[:, 0])


def test_marks_say_how_well_it_fits_and_where_that_begins_and_ends(encoding):
    rated = torch.tensor([[-9.0, 9.0, 9.0, -9.0, 0.0, 5.0]])
    mask = torch.tensor([[True, True, True, True, True, False]])
    marks = encoding(rated, mask)[0]
    low, high = torch.tensor([-9.0, 9.0]).sigmoid().tolist()
    fits = [low, high, high, low, 0.5, 0.0]
    around = [0.0, *fits, 0.0]
    fit, comes, goes = encoding.marks.weight
    for frame, value in enumerate(fits[:5]):
        expected = (
            value * fit
            + max(0.0, value - around[frame]) * comes
            + max(0.0, value - around[frame + 2]) * goes
        )
        torch.testing.assert_close(marks[frame], expected)
    assert not marks[5].any()


def literal_visits(fits: list[float]) -> list[int]:
    """Count visits as the docstring says, a frame at a time."""
    is_there, number, numbers = False, 0, []
    for value in fits:
        if is_there and value < 0.1:
            is_there = False
        elif not is_there and value >= 0.9:
            is_there, number = True, number + 1
        numbers.append(number)
    return numbers


def test_a_visit_begins_when_it_is_clear_and_ends_when_that_is_clear():
    wavering = [0.0, 0.5, 0.95, 0.5, 0.95, 0.05, 0.8, 0.0, 0.9, 0.1, 0.9, 0.09]
    assert number_visits(torch.tensor([wavering])).tolist() == [
        [0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    ]


@pytest.mark.parametrize("seed", range(20))
def test_visits_are_numbered_as_a_loop_numbers_them(seed):
    fits = torch.rand(3, 40, generator=torch.Generator().manual_seed(seed))
    fits = (2 * fits - 0.5).clamp(0, 1)
    expected = [literal_visits(row.tolist()) for row in fits]
    assert number_visits(fits).tolist() == expected


def test_marks_say_how_often_it_has_come_so_far():
    torch.manual_seed(0)
    plain = FrameRating(DIM, TEXT_DIM, HIDDEN)
    counting = FrameRating(DIM, TEXT_DIM, HIDDEN, counts_visits=True)
    counting.load_state_dict(plain.state_dict(), strict=False)
    rated = torch.tensor([[9.0, -9.0] * 12])
    mask = torch.ones(1, 24, dtype=torch.bool)
    mask[0, 22:] = False
    added = (counting(rated, mask) - plain(rated, mask))[0]
    for frame in range(22):
        row = counting.visits.weight[min(9, frame // 2 + 1)]
        torch.testing.assert_close(added[frame], row)
    assert not added[22:].any()


def test_drawn_marks_are_as_loud_as_asked_for():
    encoding = FrameRating(DIM, TEXT_DIM, 400, counts_visits=True)
    encoding.draw_marks(0.3)
    for table in (encoding.marks, encoding.visits):
        assert float(table.weight.detach().std()) == pytest.approx(0.3, rel=0.1)


def test_without_words_nothing_breaks(encoding):
    spatial = draw(1, 2, 4, DIM)
    none = torch.zeros(1, 3, dtype=torch.bool)
    assert encoding.rate(spatial, draw(1, 3, TEXT_DIM), none).isfinite().all()


def test_question_context_equals_the_literal_loop():
    torch.manual_seed(1)
    context = EventContext(6, 5).double()
    events = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    spatial = torch.randn(2, 3, 2, 6, dtype=torch.float64)
    text = torch.randn(2, 4, 5, dtype=torch.float64)
    text_mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    result = context(events, spatial, text, text_mask)
    for entry, count in enumerate((4, 2)):
        question = sum(context.question_projector(text[entry, j]) for j in range(count))
        for slot in range(3):
            tokens = torch.cat([events[entry, slot], spatial[entry, slot]])
            attended = torch.zeros(6, dtype=torch.float64)
            for j in range(count):
                query = context.query_projector(text[entry, j])
                logits = [
                    (query @ context.key_projector(token)).item() / math.sqrt(6)
                    for token in tokens
                ]
                total = sum(math.exp(value) for value in logits)
                for value, token in zip(logits, tokens, strict=True):
                    attended += math.exp(value) / total * token / count
            wanted = torch.cat([attended, attended * question / count])
            torch.testing.assert_close(result[entry, slot], wanted)


def test_question_context_needs_text():
    with pytest.raises(ValueError, match="text must be given .* got None"):
        EventContext(4, 4)(torch.zeros(1, 2, 3, 4), None, None, None)


def test_clock_adds_the_digits_of_the_time():
    clock = Clock(3)
    time = 123 * 60 + 45.4
    rows = clock.tables.weight[[1, 10 + 2, 20 + 3, 30 + 4, 36 + 5]]
    torch.testing.assert_close(clock(torch.tensor([time])), rows.sum(0, keepdim=True))
    zero = clock.tables.weight[[0, 10, 20, 30, 36]].sum(0, keepdim=True)
    torch.testing.assert_close(clock(torch.tensor([-0.2])), zero)
    with pytest.raises(ValueError, match=r"0 to 999:59 minutes .* got 60000\.0"):
        clock(torch.tensor([1.0, 60000.0]))
    with pytest.raises(ValueError, match="got nan"):
        clock(torch.tensor([torch.nan]))


def test_the_tables_of_a_clock_start_smooth():
    torch.manual_seed(0)
    clock = Clock(256)
    clock.requires_grad_(False)
    tables = clock.draw_tables(0.3)
    assert tables.shape == clock.tables.weight.shape
    assert clock.tables.weight.square().mean().sqrt() == pytest.approx(0.02, rel=0.01)
    for table in tables.split([10, 10, 10, 6, 10]):
        assert table.square().mean().sqrt() == pytest.approx(0.3, rel=0.01)
        apart = torch.cdist(table, table)  # the farther two digits, the farther apart
        steps = [float(apart.diagonal(gap).mean()) for gap in range(len(table))]
        assert steps == sorted(steps)
        assert float(apart.diagonal(1).min()) > 0
        ends = table[-1] - table[0]
        along = table @ ends  # a line on which the digits stand in order
        assert torch.equal(along.argsort(), torch.arange(len(table)))


def head_of(dim: int = DIM, **settings: object) -> QuestionHead:
    torch.manual_seed(0)
    head = QuestionHead(QuestionSettings(**settings), dim, TEXT_DIM, HIDDEN)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return head


def video_of(num_frames: int, num_prototypes: int, seed: int = 0) -> VideoFeatures:
    """Make a video whose spatial prototypes are its frame numbers."""
    events = EventPrototypes(5, num_prototypes=num_prototypes, num_event_tokens=1)
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(1, num_frames, 1, 5, generator=generator)
    mask = torch.ones(1, num_frames, dtype=torch.bool)
    return VideoFeatures(
        pooled=pooled[0],
        spatial=torch.zeros(num_frames, 1, 5),
        pts_seconds=torch.arange(float(num_frames)).double(),
        prototypes=events.estimate(pooled, mask),
    )


def choose(video: VideoFeatures, num_keep: int, fits: torch.Tensor | None) -> list[int]:
    """Choose frames by ratings from 0 to 1, or without any."""
    head = head_of(5)
    head.rate = lambda *_: None if fits is None else fits.logit()[None]  # type: ignore
    return head.choose_frames(video, num_keep, None, None).tolist()


def test_frames_between_which_the_rating_changes_are_kept_first():
    video = video_of(400, 8)
    fits = torch.zeros(400)
    fits[101:104] = 0.9
    fits[250:300] = 0.6
    fits[350] = 0.05  # too little to be a change
    frames = choose(video, 40, fits)
    edges = {100, 101, 103, 104, 249, 250, 299, 300}
    centers = set(video.prototypes.frames[0].tolist())
    assert len(frames) == 40
    assert edges | centers <= set(frames)
    others = sorted(set(frames) - edges - centers)
    gaps = [b - a for a, b in zip(others, others[1:], strict=False)]
    assert max(gaps) - min(gaps) <= 2 + len(edges | centers)


def test_the_frame_that_fits_best_stays_though_nothing_changes_there():
    video = video_of(400, 8)
    fits = torch.full((400,), 0.6)
    fits[277] = 0.65
    assert 277 in choose(video, 40, fits)
    assert 277 not in choose(video, 40, None)


def test_many_changes_take_half_of_the_places_and_the_largest_of_them():
    video = video_of(400, 8)
    fits = torch.zeros(400)
    fits[:200:2] = 0.5  # changes everywhere in the first half
    fits[390] = 1.0
    frames = choose(video, 40, fits)
    assert {389, 390, 391} <= set(frames)
    centers = set(video.prototypes.frames[0].tolist())
    late = [f for f in frames if f >= 200 and f not in centers]
    assert len(frames) == 40
    assert len(late) >= 3 + 8  # the even half still reaches the second half


@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_any_number_of_frames_is_met_exactly(num_frames, num_prototypes, data):
    num_keep = data.draw(st.integers(1, num_frames))
    seed = data.draw(st.integers(0, 9))
    fits = torch.rand(num_frames, generator=torch.Generator().manual_seed(seed))
    video = video_of(num_frames, num_prototypes)
    frames = choose(video, num_keep, fits)
    assert len(frames) == num_keep == len(set(frames))
    assert frames == sorted(frames)
    centers = set(video.prototypes.frames[0].tolist())
    assert centers <= set(frames) or set(frames) <= centers
    even = video if num_keep == num_frames else video.thin(num_keep)
    numbers = choose(video, num_keep, None)
    assert even.number(torch.arange(num_keep)).tolist() == numbers


@torch.no_grad()
def test_the_frame_that_fits_best_stands_for_its_event_and_adds_its_rating():
    head = head_of(use_ratings=True, use_best_frames=True)
    network = EventPrototypes(DIM, num_prototypes=4, num_event_tokens=1)
    found = network.estimate(
        draw(2, 30, 1, DIM), torch.arange(30) < torch.tensor([[30], [15]])
    )
    spatial, text = draw(2, 30, 3, DIM, seed=3), draw(2, 4, TEXT_DIM, seed=4)
    scores, frames, ratings = head.score(
        network, found, spatial, (text, None), (text, None)
    )
    plain = network.score(found)
    moved = 0
    for video in range(2):
        for slot in range(int(found.mask[video].sum())):
            own = (found.assignment[video] == slot).nonzero()[:, 0].tolist()
            best = max(own, key=lambda t: float(ratings[video, t]))
            assert int(frames[video, slot]) == best
            moved += best != int(found.frames[video, slot])
            wanted = plain[video, slot] + ratings[video, best]
            torch.testing.assert_close(scores[video, slot], wanted)
    assert moved
    assert (frames[~found.mask] == -1).all()


def test_ratings_change_nothing_where_centres_stand_for_events():
    head = head_of(use_ratings=True)
    network = EventPrototypes(DIM, num_prototypes=4, num_event_tokens=1)
    found = network.estimate(draw(1, 9, 1, DIM), torch.ones(1, 9, dtype=torch.bool))
    asked = (draw(1, 4, TEXT_DIM), None)
    scores, frames, ratings = head.score(
        network, found, draw(1, 9, 3, DIM), asked, asked
    )
    assert frames is None
    assert ratings.shape == (1, 9)
    assert torch.equal(scores, network.score(found))


def tokens_of(lengths: list[int], seconds: list[float]) -> VideoTokens:
    return VideoTokens(
        embeds=draw(sum(lengths), HIDDEN),
        frame_indices=torch.arange(len(lengths)),
        pts_seconds=torch.tensor(seconds, dtype=torch.float64),
        is_cone=torch.zeros(len(lengths), dtype=torch.bool),
        lengths=torch.tensor(lengths),
        scores=torch.zeros(len(lengths)),
    )


def test_time_and_marks_are_added_to_every_token_of_a_frame():
    head = head_of(use_ratings=True, use_clock=True)
    videos = [tokens_of([3, 2, 2], [0.0, 61.0, 3000.0]), tokens_of([2], [5.0])]
    ratings, mask = draw(2, 3), torch.tensor([[True] * 3, [True, False, False]])
    marks = head.rating(ratings, mask)
    marked = head.mark(videos, ratings, mask)
    for row, (before, after) in enumerate(zip(videos, marked, strict=True)):
        for frame, span in enumerate(before.spans):
            own = slice(span.start, span.start + span.length)
            clock = head.clock(before.pts_seconds[frame : frame + 1])
            wanted = before.embeds[own] + clock + marks[row, frame]
            torch.testing.assert_close(after.embeds[own], wanted)
        assert torch.equal(after.lengths, before.lengths)


def test_tokens_without_a_time_say_none():
    head, video = head_of(use_clock=True), tokens_of([2, 3], [torch.nan, 61.0])
    (marked,) = head.mark([video], None, None)
    assert torch.equal(marked.embeds[:2], video.embeds[:2])
    assert not torch.equal(marked.embeds[2:], video.embeds[2:])


def test_a_head_has_the_parts_that_are_asked_for():
    def parts(question: QuestionSettings | None) -> set[str]:
        network = FocusNetwork(FocusSettings(question=question), 6, 5, 7)
        names = [name for name, _ in network.named_parameters()]
        return {".".join(n.split(".")[:2]) for n in names if "question_head" in n}

    assert parts(None) == parts(QuestionSettings(max_read_frames=30)) == set()
    assert parts(QuestionSettings(use_ratings=True)) == {"question_head.rating"}
    assert parts(QuestionSettings(use_clock=True)) == {"question_head.clock"}
    assert parts(QuestionSettings(use_question_scores=True)) == {
        "question_head.event_context"
    }


def test_everything_that_is_added_can_be_drawn_as_loud_as_words():
    settings = QuestionSettings(use_ratings=True, use_visit_counts=True, use_clock=True)
    head = QuestionHead(settings, DIM, TEXT_DIM, 400)
    head.draw_marks(0.3)
    for table in (head.rating.marks, head.rating.visits, head.clock.tables):
        assert float(table.weight.detach().std()) == pytest.approx(0.3, rel=0.1)
