"""Training a connector: same start, same data, and what is frozen stays."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from dynfocus.methods import VideoPatches
from dynfocus.models.dynfocus import VideoInputs
from dynfocus.models.dynfocus.vision import encode_pixels
from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.connectors import (
    PARTS,
    WEIGHTS,
    load_connected,
    make_connector_job,
    part_of,
    set_trained_parts,
)
from dynfocus.training.encoded_videos import EncodedVideos

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
    "uniform_patches": {"budget_of": FOCUS},
}


@pytest.fixture
def recipe(start, write_recipe, tmp_path):
    def write(connector="dynfocus", name="recipe.yaml", **model):
        return write_recipe(
            name,
            task="connector",
            start={"model": str(start)},
            model={"connector": connector, "options": CONNECTORS[connector]} | model,
            data={
                "cache": str(tmp_path / "patches"),
                "max_frames": 6,
                "sources": [{"world_videos": SOURCE}],
            },
        )

    return write


@pytest.mark.parametrize("connector", CONNECTORS)
def test_a_connector_learns_and_is_loaded_back(recipe, start, connector):
    output = run_recipe(recipe(connector))
    model, _ = load_parts(start, device="cpu")
    trained = load_connected(model, connector, CONNECTORS[connector], output)
    stored = load_file(output / WEIGHTS)
    for name, tensor in stored.items():
        assert torch.equal(trained.state_dict()[name], tensor)
    fresh = make_connector_job(load_recipe(recipe(connector))).model.state_dict()
    moved = [name for name, tensor in stored.items() if not fresh[name].equal(tensor)]
    assert {part_of(name) for name in moved} >= {"projector", "language_model"}


def test_what_is_frozen_stays(recipe, start):
    output = run_recipe(recipe(trains=["projector"]))
    model, _ = load_parts(start, device="cpu")
    before = load_connected(model, "dynfocus", CONNECTORS["dynfocus"]).state_dict()
    after = load_file(output / WEIGHTS)
    moved = {
        part_of(name)
        for name, tensor in after.items()
        if "event" not in name and not before[name].equal(tensor)
    }
    assert moved == {"projector"}


def test_every_parameter_belongs_to_one_part(recipe):
    model = make_connector_job(load_recipe(recipe())).model
    counts = {part: len(set_trained_parts(model, [part])) for part in PARTS}
    assert sum(counts.values()) == len(list(model.parameters()))
    assert all(counts.values())
    with pytest.raises(ValueError, match="must name some of language_model, projector"):
        set_trained_parts(model, ["score"])


def test_projectors_that_a_connector_shares_start_trained(recipe, start):
    model, _ = load_parts(start, device="cpu")
    own = model.focus_network.cooperative_encoding
    one = load_connected(model, "llama_vid", {}).connector
    other = load_connected(model, "dynfocus", CONNECTORS["dynfocus"]).connector
    for name in ("context_projector", "query_projector", "key_projector"):
        weight = getattr(own, name).weight
        assert torch.equal(getattr(one, name).weight, weight)
        assert torch.equal(
            getattr(other.network.cooperative_encoding, name).weight, weight
        )
    for projector in (
        one.projector,
        other.network.cooperative_encoding.multi_modal_projector,
    ):
        assert torch.equal(projector[2].weight, own.multi_modal_projector[2].weight)


def test_dynfocus_as_a_connector_gives_the_tokens_of_the_model(make_tiny):
    model, processor = make_tiny()
    focus = model.settings.changed({"question": {"use_clock": False}}).to_dict()
    connected = load_connected(model, "dynfocus", {"focus": focus}).eval()
    state = model.focus_network.state_dict()
    connected.connector.network.load_state_dict(
        {name: t for name, t in state.items() if ".clock." not in name}
    )
    pixels = torch.randn(9, 3, 112, 112, generator=torch.Generator().manual_seed(3))
    times = torch.arange(9, dtype=torch.float64)
    inputs = processor(
        text="USER: <video>\nwhere is the red square? ASSISTANT:",
        videos=[model.encode_video(pixels, times)],
        questions=["where is the red square?"],
    )
    with torch.no_grad():
        expected, (tokens,) = model.embed_prompt(
            inputs["input_ids"], VideoInputs.of(inputs)
        )
        patches = encode_pixels(model.vision_tower, pixels).content
        prepared = connected.prepare(VideoPatches(patches=patches, pts_seconds=times))
        own = connected.video_tokens(
            [prepared], inputs["qformer_input_ids"], inputs["qformer_attention_mask"]
        )
        embeds = connected.embed_prompt(inputs["input_ids"], own)
    assert own[0].fine_frames.tolist() == tokens.is_cone.nonzero()[:, 0].tolist()
    assert torch.allclose(embeds, expected, atol=1e-5)


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
    video = cache.load_patches(medium)
    assert video.patches.shape == (5, 16, 24)
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
        ({"model": {"depth": 2}}, "no 'model.depth'; accepted are connector, options"),
        ({"data": {"rate": 2}}, "no 'data.rate'; accepted are sources, cache"),
        ({"start": {"tower": "x"}}, "no 'start.tower'; accepted are model, connector"),
        ({"model": {}}, "model.connector is missing; accepted are connector, options"),
    ],
)
def test_wrong_recipes_are_refused(write_recipe, start, changes, message):
    tree = {
        "model": {"connector": "llama_vid"},
        "start": {"model": str(start)},
        "data": {},
    }
    for group, values in changes.items():
        tree[group] = {**tree.get(group, {}), **values} if values else {}
    path = write_recipe(task="connector", **tree)
    with pytest.raises(ValueError, match=message):
        run_recipe(path)


def test_weights_of_another_connector_are_refused(recipe, start):
    output = run_recipe(recipe("llama_vid"))
    model, _ = load_parts(start, device="cpu")
    with pytest.raises(ValueError, match="holds another connector than 'dynfocus'"):
        load_connected(model, "dynfocus", CONNECTORS["dynfocus"], output)


def test_a_start_without_a_clock_is_refused(make_tiny):
    model, _ = make_tiny(question=None)
    with pytest.raises(ValueError, match="use_clock, got False"):
        load_connected(model, "llama_vid", {})


def test_scores_may_start_from_the_model_around(start):
    model, _ = load_parts(start, device="cpu")
    options = {"focus": FOCUS | {"question": {"use_question_scores": True}}}
    fresh = load_connected(model, "dynfocus", options)
    taught = load_connected(model, "dynfocus", options | {"scores": "start"})
    parts = ("event_prototypes.", "question_head.event_context.")
    own = model.focus_network.state_dict()
    own = {name: tensor for name, tensor in own.items() if name.startswith(parts)}
    assert len(own) > 6
    adopted = taught.connector.network.state_dict()
    for name, tensor in own.items():
        assert torch.equal(adopted[name], tensor), name
    weight = "event_prototypes.score_network.layers.0.weight"
    assert not torch.equal(fresh.connector.network.state_dict()[weight], own[weight])
    with pytest.raises(ValueError, match="scores must be one of fresh, start, got 'x'"):
        load_connected(model, "dynfocus", options | {"scores": "x"})
    with pytest.raises(
        ValueError, match="needs the use_question_scores of start.model"
    ):
        load_connected(model, "dynfocus", {"focus": FOCUS, "scores": "start"})


def test_ratings_of_frames_start_from_the_model_around(make_tiny):
    options = {
        "focus": FOCUS | {"question": {"use_ratings": True, "use_best_frames": True}}
    }
    without, _ = make_tiny(question={"use_clock": True})
    with pytest.raises(ValueError, match="needs a start.model that rates frames"):
        load_connected(without, "dynfocus", options)
    rating, _ = make_tiny(question={"use_clock": True, "use_ratings": True})
    connected = load_connected(rating, "dynfocus", options)
    own = rating.focus_network.question_head.rating.state_dict()
    adopted = connected.connector.network.question_head.rating.state_dict()
    assert len(own) > 6
    for name, tensor in own.items():
        assert torch.equal(adopted[name], tensor), name
