"""What a stage starts from: another connector in a model, with what the two share."""

from __future__ import annotations

import pytest
import torch

import dynfocus
from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.encoded_videos import EncodedVideos
from dynfocus.training.parts import group_of
from dynfocus.training.stages import MODEL, make_stage_job
from dynfocus.training.starting import ModelSettings, connect
from dynfocus.validation import from_mapping

FOCUS = {
    "num_event_tokens": 4,
    "num_prototypes": 4,
    "selection_ratio": 0.5,
    "num_spatial_prototypes": [4, 2],
    "num_spatial_neighbors": [3, 2],
    "num_noise_samples": 10,
}
SOURCE = {
    "num_videos": 2,
    "seconds": [5, 8],
    "turns_per_sample": 1,
    "kinds": {"needle": 1, "presence": 1},
}
CONNECTORS = {
    "dynfocus": {"focus": FOCUS | {"question": {"use_question_scores": True}}},
    "llama_vid": {},
    "llava_onevision": {},
    "uniform_patches": {"options": {"budget_of": FOCUS}},
}


@pytest.fixture
def recipe(start, write_recipe, tmp_path):
    def write(connector="dynfocus", name="recipe.yaml", **changes):
        tree = {
            "task": "stage2",
            "start": {"model": str(start)},
            "model": {"connector": connector, **CONNECTORS[connector]},
            "data": {
                "cache": str(tmp_path / "patches"),
                "shares_patches": True,
                "max_frames": 6,
                "sources": [{"world_videos": SOURCE}],
            },
        }
        return write_recipe(name, **(tree | changes))

    return write


def connected(model, processor, connector, **changes):
    own = {"connector": connector, **CONNECTORS[connector], **changes}
    return connect(model, processor, from_mapping(ModelSettings, own))


@pytest.mark.parametrize("connector", CONNECTORS)
def test_a_connector_learns_and_the_product_asks_it(recipe, start, connector):
    output = run_recipe(recipe(connector))
    job = make_stage_job(load_recipe(recipe(connector)))
    fresh = job.model.state_dict()
    model = dynfocus.load(output / MODEL, device="cpu", index_folder=False)
    moved = [n for n, t in model.model.state_dict().items() if not fresh[n].equal(t)]
    assert {group_of(name) for name in moved} >= {"projectors", "language_model"}
    assert not any(name.startswith("vision_tower.") for name in moved)
    frames = torch.randint(0, 255, (5, 112, 112, 3), dtype=torch.uint8)
    answer = model.ask(frames, "What letter is on the red square?", max_new_tokens=2)
    assert answer.tokens == model.model.focus_network.num_tokens(5)


def test_what_is_frozen_stays(recipe, start):
    output = run_recipe(recipe(trains=["projectors", "clock"]))
    model, processor = load_parts(start, device="cpu")
    before = connected(model, processor, "dynfocus")[0].state_dict()
    after = load_parts(output / MODEL, device="cpu")[0].state_dict()
    moved = {
        group_of(name)
        for name, tensor in after.items()
        if "event" not in name and not before[name].equal(tensor)
    }
    assert moved == {"projectors", "clock"}


def test_a_run_continues_an_earlier_one(recipe):
    first = run_recipe(recipe("llama_vid"))
    again = recipe(
        "llama_vid", "again.yaml", start={"model": str(first / MODEL)}, model=None
    )
    job = make_stage_job(load_recipe(again))
    trained = load_parts(first / MODEL, device="cpu")[0].state_dict()
    for name, tensor in job.model.state_dict().items():
        assert torch.equal(trained[name], tensor), name


@pytest.mark.parametrize("connector", CONNECTORS)
def test_what_comes_from_files_trains_as_what_is_kept(recipe, connector):
    losses = []
    for cache in ([], ["data.cache=null", "data.shares_patches=false"]):
        torch.manual_seed(0)
        job = make_stage_job(load_recipe(recipe(connector), cache))
        batch = job.collator([job.dataset[0], job.dataset[1]])
        del batch["facts"]
        losses.append(job.model.eval()(**batch).loss)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-3)


def test_events_of_shared_patches_are_made_once(recipe, monkeypatch):
    job = make_stage_job(load_recipe(recipe()))
    first = job.dataset[0]["shown"][0]
    assert first.prototypes is not None
    assert job.dataset[0]["shown"][0] is first
    gate = {"focus": FOCUS | {"spatial_gate": True}}
    learned = make_stage_job(
        load_recipe(recipe(model={"connector": "dynfocus"} | gate))
    )
    assert learned.dataset[0]["shown"][0].is_raw


def test_projectors_that_a_connector_shares_start_trained(start):
    model, processor = load_parts(start, device="cpu")
    own = model.focus_network.cooperative_encoding
    one = connected(model, processor, "llama_vid")[0].focus_network
    other = connected(model, processor, "dynfocus")[0].focus_network
    for name in ("context_projector", "query_projector", "key_projector"):
        weight = getattr(own, name).weight
        assert torch.equal(getattr(one.connector, name).weight, weight)
        assert torch.equal(getattr(other.cooperative_encoding, name).weight, weight)
    clock = model.focus_network.question_head.clock.tables.weight
    for network in (one, other):
        assert torch.equal(network.question_head.clock.tables.weight, clock)
    for projector in (
        one.connector.projector,
        other.cooperative_encoding.multi_modal_projector,
    ):
        assert torch.equal(projector[2].weight, own.multi_modal_projector[2].weight)


def test_dynfocus_as_a_connector_gives_the_tokens_of_the_model(make_tiny):
    model, processor = make_tiny()
    focus = model.settings.to_dict()
    options = {"focus": focus, "scores": "start"}
    other, _ = connected(model, processor, "dynfocus", **options)
    pixels = torch.randn(9, 3, 112, 112, generator=torch.Generator().manual_seed(3))
    video = model.encode_video(pixels, torch.arange(9, dtype=torch.float64))
    ids = torch.tensor([processor.qformer_tokenizer("where is it?")["input_ids"]])
    asked = (ids, torch.ones_like(ids))
    with torch.no_grad():
        (expected,), (tokens,) = (
            model.focus([video], *asked),
            other.focus([video], *asked),
        )
    assert torch.equal(expected.embeds, tokens.embeds)


def test_patches_are_encoded_once_and_kept_in_half(make_tiny, tmp_path):
    model, processor = make_tiny()
    cache = EncodedVideos(
        tmp_path / "patches", model, processor, max_frames=5, storage="patches"
    )
    medium = "focusworld:train/3?seconds=9"
    cache.fill([{"video": medium}, {"video": medium}])
    (entry,) = cache.store.entries()
    assert entry.storage == "patches"
    cache.fill([{"video": medium}])
    assert cache.store.entries() == [entry]
    video = cache.load(medium)
    assert video.spatial.shape == (5, 16, 24)
    assert video.num_frames == cache.num_frames(medium) == 5
    with torch.no_grad():
        model.vision_tower.post_layernorm.bias.add_(1)
    other = EncodedVideos(
        tmp_path / "patches", model, processor, max_frames=5, storage="patches"
    )
    assert other.key(medium) != cache.key(medium)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"depth": 2}}, "no 'model.depth'; accepted are focus, qformer"),
        ({"model": {"connector": "x"}}, "connector must be one of .*, got 'x'"),
        (
            {"model": {"connector": "llama_vid", "options": {"a": 1}}},
            "has no option 'a'",
        ),
        (
            {"model": {"connector": "llama_vid", "question_first": True}},
            "start.model brings its own settings",
        ),
        ({"model": {"focus": FOCUS}}, "start.model brings its own settings"),
        (
            {"start": {"vision_tower": "a", "language_model": "b"}},
            "model.connector, options, scores and tower belong to start.model",
        ),
        ({"evidence": {"rods": 1}, "model": None}, None),
        ({"evidence": {"rods": 1}}, "evidence teaches DynFocus as it is, got a model"),
    ],
)
def test_what_does_not_belong_together_is_refused(recipe, changes, message):
    path = recipe("llama_vid", **changes)
    if message is None:
        assert make_stage_job(load_recipe(path))
        return
    with pytest.raises(ValueError, match=message):
        make_stage_job(load_recipe(path))


def test_a_start_without_a_clock_is_refused(make_tiny):
    model, processor = make_tiny(question=None)
    with pytest.raises(ValueError, match="use_clock, got False"):
        connected(model, processor, "llama_vid")


def test_scores_may_start_from_the_model_around(start):
    model, processor = load_parts(start, device="cpu")
    fresh, _ = connected(model, processor, "dynfocus")
    taught, _ = connected(model, processor, "dynfocus", scores="start")
    parts = ("event_prototypes.", "question_head.event_context.")
    own = model.focus_network.state_dict()
    own = {name: tensor for name, tensor in own.items() if name.startswith(parts)}
    assert len(own) > 6
    adopted = taught.focus_network.state_dict()
    for name, tensor in own.items():
        assert torch.equal(adopted[name], tensor), name
    weight = "event_prototypes.score_network.layers.0.weight"
    assert not torch.equal(fresh.focus_network.state_dict()[weight], own[weight])
    with pytest.raises(ValueError, match="scores must be one of 'fresh' or 'start'"):
        connected(model, processor, "dynfocus", scores="x")
    options = {"focus": FOCUS, "scores": "start"}
    with pytest.raises(
        ValueError, match="needs the use_question_scores of start.model"
    ):
        connected(model, processor, "dynfocus", **options)


def test_ratings_of_frames_start_from_the_model_around(make_tiny):
    focus = FOCUS | {"question": {"use_ratings": True, "use_best_frames": True}}
    options = {"focus": focus}
    without, processor = make_tiny(question={"use_clock": True})
    with pytest.raises(ValueError, match="needs a start.model that rates frames"):
        connected(without, processor, "dynfocus", **options)
    rating, processor = make_tiny(question={"use_clock": True, "use_ratings": True})
    other, _ = connected(rating, processor, "dynfocus", **options)
    own = rating.focus_network.question_head.rating.state_dict()
    adopted = other.focus_network.question_head.rating.state_dict()
    assert len(own) > 6
    for name, tensor in own.items():
        assert torch.equal(adopted[name], tensor), name
