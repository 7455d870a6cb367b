"""Connectors and tower methods of the field learn for two steps, and are asked."""

from __future__ import annotations

import pytest
import torch
import yaml

import dynfocus
from dynfocus.conversion import Choices, assemble
from dynfocus.focus import FocusSettings
from dynfocus.models.loading import load_parts
from dynfocus.training import load_recipe
from dynfocus.training.loop import train
from dynfocus.training.stages import MODEL, make_stage_job

CONNECTORS = {
    "apollo": {"clip_tokens": 3},
    "context_bank": {},
    "keyframe_ratio": {},
    "langdc": {"max_told": 4},
    "longvu": {"max_tokens": 16},
    "mavors": {"chunk_frames": 4},
    "pllava": {"num_steps": 4},
    "salova": {"max_segments": 3, "segment_tokens": 3, "num_routed": 2},
    "tdc": {"num_queries": 2, "num_segments": 2},
    "videogpt_plus": {},
    "b_vllm": {"num_mixtures": 4, "mixture_tokens": 3},
    "flash_vstream": {"num_entries": 3, "num_key_frames": 2},
    "ma_lmm": {"num_queries": 4},
    "moviechat": {"fragment_frames": 3, "num_queries": 4},
    "pvc": {},
    "quicksviewer": {"frames_per_cube": 2, "cube_tokens": 3},
    "storm": {},
    "video_streaming": {"clip_frames": 2, "frame_summaries": 2, "num_clips": 2},
    "videoscan": {"max_carriers": 4},
}
TOWERS = {
    "grt": {},
    "prompt_switch": {"tower_options": {"num_prompts": 4}},
    "residual_vit": {},
    "tempme": {"tower_options": {"joins": [2]}},
    "video_panda": {"connector": "uniform_patches"},
}
STILL = {
    "langdc": {"connector.stop.weight", "connector.stop.bias"},  # one step of telling
    "longvu": {"connector.text_projector.weight", "connector.text_projector.bias"},
}
"""What need not learn from every batch: LongVU's question only chooses."""


@pytest.fixture(scope="module")
def write(tmp_path_factory, parts):
    """Write a recipe that puts a connector into a tiny model; all share its patches."""
    root = tmp_path_factory.mktemp("field")
    torch.manual_seed(0)
    choices = Choices(
        focus=FocusSettings.from_dict(
            {"num_event_tokens": 4, "num_spatial_prototypes": [4, 2]}
            | {"num_spatial_neighbors": [3, 2], "question": {"use_clock": True}}
        ),
        qformer={
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        dtype=torch.float32,
        seed=None,
    )
    made = assemble(*parts.values(), choices=choices)
    made.model.save_pretrained(root / "start")
    made.processor.save_pretrained(root / "start")

    def write(name, model, **data):
        videos = {"num_videos": 2, "seconds": [5, 8], "turns_per_sample": 1}
        tree = {
            "task": "stage2",
            "output": str(root / name),
            "schedule": {
                "num_steps": 2,
                "batch_size": 2,
                "learning_rate": 0.01,
                "log_every": 1,
            },
            "start": {"model": str(root / "start")},
            "model": model,
            "data": {
                "cache": str(root / "patches"),
                **data,
                "max_frames": 6,
                "sources": [{"world_videos": videos | {"kinds": {"needle": 1}}}],
            },
        }
        path = root / f"{name}.yaml"
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return path

    return write


def learn(recipe, part):
    """Run a recipe; gives the model's folder, and how a part of it was at the start."""
    fresh = {}

    def make_job(settings):
        job = make_stage_job(settings)
        state = getattr(job.model, part).state_dict()
        fresh.update({name: tensor.clone() for name, tensor in state.items()})
        return job

    return train(load_recipe(recipe), make_job, resume=False) / MODEL, fresh


@pytest.mark.parametrize("connector", CONNECTORS)
def test_a_connector_learns_and_the_product_asks_it(write, connector):
    own = {"connector": connector, "options": CONNECTORS[connector]}
    folder, fresh = learn(write(connector, own), "focus_network")
    model = dynfocus.load(folder, device="cpu", index_folder=False)
    network = model.model.focus_network
    still = {n for n, t in network.state_dict().items() if torch.equal(t, fresh[n])}
    own = {name for name in still if name.startswith("connector.")}
    assert own <= STILL.get(connector, set())
    frames = torch.randint(0, 255, (5, 112, 112, 3), dtype=torch.uint8)
    answer = model.ask(frames, "What letter is on the red square?", max_new_tokens=2)
    assert 0 < answer.tokens <= network.num_tokens(5)


@pytest.mark.parametrize("tower", TOWERS)
def test_a_tower_method_learns_and_the_product_asks_it(write, tower):
    recipe = write(tower, {"tower": tower, **TOWERS[tower]}, cache=None)
    folder, fresh = learn(recipe, "vision_tower")
    model = dynfocus.load(folder, device="cpu", index_folder=False)
    for name, tensor in model.model.vision_tower.state_dict().items():
        learns = name.startswith("method.")
        assert torch.equal(tensor, fresh[name]) != learns, name
    frames = torch.randint(0, 255, (5, 112, 112, 3), dtype=torch.uint8)
    answer = model.ask(frames, "What letter is on the red square?", max_new_tokens=2)
    assert answer.tokens == model.model.focus_network.num_tokens(5)


def test_a_tower_method_starts_over_the_tower_of_the_model(write):
    own = {"tower": "grt", "connector": "longvu"}
    job = make_stage_job(load_recipe(write("both", own)))  # nothing learns: it is kept
    start = load_parts(write("both", own).parent / "start", device="cpu")
    tower = start[0].vision_tower.state_dict()
    for name, tensor in job.model.vision_tower.tower.state_dict().items():
        assert torch.equal(tensor, tower[name])
    assert job.model.config.connector == "longvu"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"tower": "residual_vit"}, "'residual_vit' gives, and that learns; leave"),
        ({"tower": "nobody"}, "tower_method must be one of grt"),
        ({"tower_options": {"drop": 0.5}}, "tower_options belong to a tower method"),
        ({"tower": "grt", "options": {"a": 1}}, "belong to another connector; name it"),
    ],
)
def test_what_does_not_belong_together_is_refused(write, model, message):
    with pytest.raises(ValueError, match=message):
        make_stage_job(load_recipe(write("wrong", model)))
