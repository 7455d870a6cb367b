"""Pictures with dense labels: every label is under its object's own pixels."""

from __future__ import annotations

import numpy as np
import pytest

from dynfocus.world import snapshots
from dynfocus.world.render import Placed, sprite
from dynfocus.world.scene import WorldObject
from dynfocus.world.snapshots import (
    IGNORED,
    MIN_COVER,
    NUM_CLASSES,
    disturb,
    make_snapshot,
)
from dynfocus.world.vocabulary import (
    BADGE_PIXELS,
    BASE_PIXELS,
    COLOURS,
    LETTERS,
    SHAPES,
    SIZES,
    is_held_out,
)

SIDE = 8
PIXELS = BASE_PIXELS // SIDE


def alpha_cover(placed: Placed) -> np.ndarray:
    """Return how much of each patch the object covers, from its alpha channel."""
    alpha = sprite(placed.thing, 1)[..., 3]
    side = alpha.shape[0]
    canvas = np.zeros((3 * BASE_PIXELS, 3 * BASE_PIXELS))
    left = round(placed.x - side / 2) + BASE_PIXELS
    top = round(placed.y - side / 2) + BASE_PIXELS
    canvas[top : top + side, left : left + side] = alpha > 0
    seen = canvas[BASE_PIXELS : 2 * BASE_PIXELS, BASE_PIXELS : 2 * BASE_PIXELS]
    return seen.reshape(SIDE, PIXELS, SIDE, PIXELS).mean((1, 3))


def badge_cover(placed: Placed) -> np.ndarray:
    """Return how much of each patch the badge covers."""
    canvas = np.zeros((3 * BASE_PIXELS, 3 * BASE_PIXELS))
    half = BADGE_PIXELS // 2
    x, y = round(placed.x) + BASE_PIXELS, round(placed.y) + BASE_PIXELS
    canvas[y - half : y + half, x - half : x + half] = 1
    seen = canvas[BASE_PIXELS : 2 * BASE_PIXELS, BASE_PIXELS : 2 * BASE_PIXELS]
    return seen.reshape(SIDE, PIXELS, SIDE, PIXELS).mean((1, 3))


@pytest.fixture
def pasted(monkeypatch):
    """Collect the objects that a snapshot pastes into its picture."""
    placed: list[Placed] = []
    real = snapshots.paste

    def paste(picture: np.ndarray, one: Placed) -> None:
        if picture.any():  # the picture, not the black canvas of a label
            placed.append(one)
        real(picture, one)

    monkeypatch.setattr(snapshots, "paste", paste)
    return placed


def test_labels_lie_under_the_alpha_of_their_object(pasted):
    num_checked = 0
    for seed in range(40):
        pasted.clear()
        snapshot = make_snapshot(np.random.default_rng(seed))
        labels = {k: v.reshape(SIDE, SIDE) for k, v in snapshot.labels.items()}
        covers = [alpha_cover(one) for one in pasted]
        touched = sum((cover > 0).astype(int) for cover in covers)
        for one, cover in zip(pasted, covers, strict=True):
            mine = (touched == 1) & (cover >= MIN_COVER)
            thing = one.thing
            assert (labels["shape"][mine] == SHAPES.index(thing.shape) + 1).all()
            assert (labels["colour"][mine] == COLOURS.index(thing.colour) + 1).all()
            assert (labels["size"][mine] == SIZES.index(thing.size)).all()
            num_checked += mine.sum()
        bare = np.ones((SIDE, SIDE), bool)
        for cover in covers:
            bare &= cover < MIN_COVER
        assert (labels["shape"][bare] == 0).all()
        assert (labels["colour"][bare] == 0).all()
        assert (labels["size"][bare] == IGNORED).all()
    assert num_checked > 200


def test_letters_lie_under_their_badge():
    thing = WorldObject(shape="circle", colour="red", size="large", letter="Q")
    for x, y in ((40.0, 31.0), (63.4, 81.0), (98.0, 30.0)):
        labels = snapshots._blank_labels(SIDE, 0)
        placed = Placed(thing=thing, x=x, y=y)
        snapshots._label(labels, placed, SIDE)
        cover = badge_cover(placed)
        shown = labels["letter"] == LETTERS.index("Q")
        assert shown[cover >= MIN_COVER + 0.1].all()
        assert not shown[cover < MIN_COVER - 0.1].any()
        assert (labels["letter"][~shown] == IGNORED).all()


@pytest.mark.parametrize(("x", "is_asked"), [(10.0, True), (6.0, True), (4.0, False)])
def test_the_letter_of_a_cut_badge_is_not_asked_for(x, is_asked):
    thing = WorldObject(shape="square", colour="blue", size="large", letter="B")
    for place in (x, BASE_PIXELS - x):
        labels = snapshots._blank_labels(SIDE, 0)
        snapshots._label(labels, Placed(thing=thing, x=place, y=31.0), SIDE)
        assert (labels["letter"] != IGNORED).any() == is_asked
        assert (labels["shape"] == SHAPES.index("square") + 1).any()


def test_held_out_combinations_are_left_out_unless_asked_for(pasted):
    rng = np.random.default_rng(0)
    for _ in range(100):
        make_snapshot(rng)
    triples = [(p.thing.shape, p.thing.colour, p.thing.letter) for p in pasted]
    assert len(triples) > 150
    assert not any(is_held_out(*triple) for triple in triples)
    pasted.clear()
    for _ in range(100):
        make_snapshot(rng, allow_held_out=True)
    assert any(p.thing.held_out for p in pasted)


def test_classes_stay_in_range_and_all_occur():
    rng = np.random.default_rng(1)
    met = {name: set() for name in NUM_CLASSES}
    for _ in range(150):
        snapshot = make_snapshot(rng)
        assert snapshot.picture.shape == (BASE_PIXELS, BASE_PIXELS, 3)
        assert set(snapshot.labels) == set(NUM_CLASSES)
        for name, grid in snapshot.labels.items():
            assert grid.shape == (SIDE * SIDE,)
            met[name] |= set(grid.tolist())
    for name, classes in met.items():
        ignored = {IGNORED} if name in ("size", "letter") else set()
        assert classes == set(range(NUM_CLASSES[name])) | ignored


def test_the_same_stream_gives_the_same_picture():
    one, other = (make_snapshot(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.picture, other.picture)
    for name, grid in one.labels.items():
        np.testing.assert_array_equal(grid, other.labels[name])
    assert not np.array_equal(
        one.picture, make_snapshot(np.random.default_rng(6)).picture
    )


def test_the_grid_follows_the_patch_size():
    snapshot = make_snapshot(np.random.default_rng(0), 28)
    assert snapshot.labels["shape"].shape == (16,)


def test_disturbing_is_small_repeatable_and_changes_no_shape():
    pictures = np.stack(
        [make_snapshot(np.random.default_rng(n)).picture for n in range(3)]
    )
    for seed in range(12):
        once = disturb(pictures, np.random.default_rng(seed))
        again = disturb(pictures, np.random.default_rng(seed))
        np.testing.assert_array_equal(once, again)
        assert once.shape == pictures.shape
        assert once.dtype == np.uint8
        assert 0 < np.abs(once.astype(int) - pictures).mean() < 15
