"""Every tower method against its formula, over tiny towers of each kind."""

from __future__ import annotations

import math

import pytest
import torch
from connector_parts import near
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    InstructBlipVisionConfig,
    InstructBlipVisionModel,
    ResNetConfig,
    ResNetModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from dynfocus.methods import TOWERS, TowerSizes, build_tower_method
from dynfocus.methods.towers.gated_residual import (
    jensen_shannon,
    structural_similarity,
)
from dynfocus.methods.towers.interface import Layers
from dynfocus.methods.towers.prompt_switch import switch
from dynfocus.methods.towers.residual_vit import cost_share
from dynfocus.methods.towers.tempme import Merged, join_clips, merge_alike
from fake_package import install

KINDS = {
    "clip": (CLIPVisionConfig, CLIPVisionModel),
    "instructblip": (InstructBlipVisionConfig, InstructBlipVisionModel),
    "siglip": (SiglipVisionConfig, SiglipVisionModel),
}
FIELDS = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 4,
}
SIZES = TowerSizes(frame_size=16, patch_size=4, dim=16, num_layers=3)
OPTIONS = {
    "grt": {"refresh": 3},
    "prompt_switch": {"num_prompts": 2},
    "residual_vit": {"drop": 0.75},
    "tempme": {"joins": (2,)},
    "video_panda": {},
}


@pytest.fixture(scope="module")
def towers():
    made = {}
    for name, (config, model) in KINDS.items():
        torch.manual_seed(0)
        made[name] = model(config(**FIELDS, initializer_range=0.05)).eval()
        with torch.no_grad():
            for weight in made[name].parameters():
                weight.mul_(5.0) if weight.ndim > 1 else None
    return made


def build(name, seed=0, **options):
    torch.manual_seed(seed)
    own = {**OPTIONS[name], **options}
    return build_tower_method(name, SIZES, own).eval()


def make_pixels(num_frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_frames, 3, 16, 16, generator=generator)


@torch.no_grad()
def whole(tower, pixels):
    """What the tower itself gives of each patch."""
    return tower(pixels, output_hidden_states=True).hidden_states[-1][:, -16:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tower_taken_apart_gives_what_it_gives(towers, kind):
    layers, pixels = Layers(towers[kind]), make_pixels(2)
    assert layers.num_prefix == (kind != "siglip")
    with torch.no_grad():
        near(layers.run(layers.embed(pixels))[:, -16:], whole(towers[kind], pixels))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TOWERS)
def test_every_frame_has_as_many_tokens_whatever_the_window(towers, name, kind):
    method = build(name)
    tower = towers[kind] if method.needs_tower else None
    for count in (1, 2, 5):
        with torch.no_grad():
            found = method(tower, make_pixels(count))
        assert found.shape == (count, method.num_patches, 16)
        assert bool(found.isfinite().all())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("grt", {"threshold": -1.0, "merge_threshold": 0.0}),
        ("residual_vit", {"num_between": 0}),
        (
            "tempme",
            {"per_layer": 0, "cross_share": 0.0, "late_share": 0.0, "joins": ()},
        ),
    ],
)
def test_a_method_that_leaves_nothing_out_is_the_tower(towers, name, options):
    pixels = make_pixels(4)
    for tower in towers.values():
        with torch.no_grad():
            near(build(name, **options)(tower, pixels), whole(tower, pixels))


def test_residual_vit_costs_what_the_paper_says():
    assert cost_share(2, 0.85) == pytest.approx(0.4333, abs=1e-4)


def test_residual_vit_runs_few_moving_patches_behind_a_residual_token(towers):
    method, tower = build("residual_vit"), towers["clip"]
    pixels = make_pixels(1).repeat(4, 1, 1, 1)
    pixels[1, :, 4:8, 8:12] += 1  # patch 6
    pixels[1, :, 12:, :4] += 3  # patch 12
    assert method.num_kept == 4
    # 6 and 12 move, then ties in order
    assert method.find_motion(pixels)[1].tolist() == [0, 1, 6, 12]
    with torch.no_grad():
        found = method(tower, pixels)
        layers = Layers(tower)
        full = layers.run(layers.embed(pixels[:1]))
        embedded = layers.embed(pixels[1:2])
        seen = [embedded[:, :1], method.residual(full[:, :1])]
        seen.append(embedded[:, 1:][:, [0, 1, 6, 12]])
        own = layers.run(torch.cat(seen, dim=1))[0, 2:]
    near(found[1, [0, 1, 6, 12]], own)
    rest = [n for n in range(16) if n not in (0, 1, 6, 12)]
    near(found[1, rest], full[0, 1:][rest])
    near(found[3], whole(tower, pixels[3:])[0])  # the next full frame


def test_similarity_of_structure_is_that_of_the_formula():
    one, other = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 5.0])
    # means 1 and 3, spreads 1 and 4, together 2
    c1, c2 = 0.01**2, 0.03**2
    wanted = (6 + c1) * (4 + c2) / ((10 + c1) * (5 + c2))
    assert float(structural_similarity(one, other, 1.0)) == pytest.approx(wanted)
    assert float(structural_similarity(one, one, 4.0)) == pytest.approx(1)


def test_divergence_is_that_of_the_formula():
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])
    wanted = (math.log(1 / 0.75) + 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(2)) / 2
    assert float(jensen_shannon(one, other)) == pytest.approx(wanted)
    apart = jensen_shannon(one, torch.tensor([0.0, 1.0]))
    assert float(apart) == pytest.approx(math.log(2))


def test_grt_holds_what_did_not_change_since_it_was_computed():
    pixels = make_pixels(1).repeat(5, 1, 1, 1)
    pixels[1:, :, :4, :4] = make_pixels(1, 1)[:, :, :4, :4]  # patch 0 changes once
    pixels[2, :, :4, 4:8] += 1e-4  # too little for patch 1
    sources = build("grt", refresh=4).find_sources(pixels)
    assert sources[:, 0].tolist() == [0, 1, 1, 1, 4]
    assert sources[:, 1].tolist() == [0, 0, 0, 0, 4]


def test_grt_runs_what_is_new_alone(towers):
    tower, pixels = towers["instructblip"], make_pixels(1).repeat(2, 1, 1, 1)
    pixels[1, :, :4, :8] = make_pixels(1, 1)[0, :, :4, :8]  # patches 0 and 1
    with torch.no_grad():
        found = build("grt")(tower, pixels)
        layers = Layers(tower)
        own = layers.run(layers.embed(pixels[1:])[:, :3])[0, 1:]
    near(found[0], whole(tower, pixels[:1])[0])
    near(found[1, :2], own)
    near(found[1, 2:], found[0, 2:])


def test_grt_averages_first_frames_of_scenes_alike():
    dark, light = torch.zeros(2), torch.full((2,), 10.0)
    half = torch.stack([dark, dark, light, light])
    computed = torch.stack([half, half + 0.1, torch.stack([light] * 4)])
    method = build("grt", refresh=1, merge_threshold=0.05, codebook=2)
    found = method.join_scenes(computed)
    # half and half, twice; then all of one: a divergence of 0.22
    near(found[0], half + 0.05)
    near(found[1], half + 0.05)
    near(found[2], computed[2])
    shares = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    assert float(jensen_shannon(*shares)) == pytest.approx(0.2158, abs=1e-4)


@pytest.mark.parametrize(
    ("num_tokens", "per_layer", "left"),
    [(50, 2, [34, 44, 56, 107, 97]), (197, 10, [117, 148, 188, 356, 321])],
)
def test_tempme_leaves_as_many_tokens_as_the_published_code(
    num_tokens, per_layer, left
):
    sizes = TowerSizes(frame_size=224, patch_size=32, dim=8, num_layers=12)
    method = build_tower_method("tempme", sizes, {"per_layer": per_layer})
    assert method.clip_frames == 12
    assert method.count_left(num_tokens) == left


def clip_of(values, sizes, num_class):
    tokens = torch.tensor(values)[None, :, None]
    places = torch.arange(len(values))[None]
    return Merged(tokens, torch.tensor(sizes)[None], places, num_class)


def test_tempme_merges_the_most_alike_weighed_by_size():
    clip = clip_of([9.0, 1, 2, 3, 4, 5], [1.0, 1, 2, 3, 1, 1], 1)
    angles = torch.tensor([0.0, 0.0, 0.1, 1.0, 1.05, 2.0])
    metric = torch.stack([angles.cos(), angles.sin()], dim=1)[None]
    # one class token: sources are patches 1 and 3 (2 and 4), targets 0, 2 and 4
    merged = merge_alike(clip, metric, 1)
    # 4 is nearest to 3, nearer than 2 to 1
    assert merged.tokens[0, :, 0].tolist() == [9, 2, 1, (9 + 4) / 4, 5]
    assert merged.sizes[0].tolist() == [1, 2, 1, 4, 1]
    assert merged.places[0].tolist() == [0, 2, 1, 3, 3, 4]
    both = merge_alike(clip, metric, 9)
    near(both.tokens[0, :, 0], torch.tensor([9, 5 / 3, 13 / 4, 5]))
    even = merge_alike(clip_of([9.0, 9, 1, 2], [1.0] * 4, 2), metric[:, :4], 1)
    assert even.places[0].tolist() == [0, 1, 2, 2]


def test_tempme_joins_class_tokens_first():
    clips = Merged(
        tokens=torch.arange(6.0).view(2, 3, 1),
        sizes=torch.ones(2, 3),
        places=torch.arange(3).expand(2, -1),
        num_class=1,
    )
    joined = join_clips(clips, 2, torch.tensor([[0.0], [10.0]]))
    assert joined.tokens[0, :, 0].tolist() == [0, 13, 1, 2, 14, 15]
    assert joined.places[0].tolist() == [0, 2, 3, 1, 4, 5]
    assert joined.num_class == 2


def test_tempme_counts_a_token_as_often_as_it_has_patches(towers):
    # frames of equal patches: merging changes nothing if sizes are counted
    tower = towers["siglip"]
    layers, method = Layers(tower), build("tempme", joins=(), per_layer=4)
    embedded = torch.randn(1, 1, 16).repeat(2, 16, 1)
    embedded[:, 8:] *= -1
    with torch.no_grad():
        merged = method.merge(layers, embedded)
        plain = layers.run(embedded)
    assert merged.tokens.shape[1] == method.count_left(16)[-1] < 16
    found = merged.tokens.gather(1, merged.places[..., None].expand(-1, -1, 16))
    near(found, plain)


def test_prompts_change_places_with_frames():
    x = torch.arange(2 * 3).view(2, 3, 1)  # a token and two prompts of two frames
    assert switch(x, 2)[..., 0].tolist() == [[0, 1, 4], [3, 2, 5]]
    assert torch.equal(switch(switch(x, 2), 2), x)


def test_prompts_tell_frames_of_their_chunk_what_the_others_saw(towers):
    method, pixels = build("prompt_switch"), make_pixels(4)
    changed = pixels.clone()
    changed[1] += 1
    with torch.no_grad():
        before, after = (method(towers["clip"], p) for p in (pixels, changed))
    moved = (before - after).abs().amax((1, 2)) > 1e-6
    assert moved.tolist() == [True, True, False, False]


def test_video_panda_has_the_tokens_of_its_paper():
    sizes = TowerSizes(frame_size=448, patch_size=14, dim=8, num_layers=0)
    assert build_tower_method("video_panda", sizes).num_patches == 273
    grid = build_tower_method("video_panda", sizes, {"is_grid": True})
    assert grid.num_patches == 256
    odd = TowerSizes(frame_size=12, patch_size=4, dim=8, num_layers=0)
    method = build_tower_method("video_panda", odd)
    assert method.num_patches == 1 + 2 * 3
    with torch.no_grad():
        assert method(None, torch.zeros(2, 3, 12, 12)).shape == (2, 7, 8)


def test_a_fresh_video_panda_averages_windows_and_both_views():
    method, pixels = build("video_panda"), make_pixels(3)
    with torch.no_grad():
        found = method(None, pixels)
        raw = method.embed(pixels)  # [F, D, 4, 4]
        around = method.local.around(raw.transpose(0, 1)[None])[0].transpose(0, 1)
        grid = 2 * raw + around  # the inner residual, and the skip from the embedding
        mean = grid[1, :, :2, 2:].mean((1, 2))
        near(found[1, 2], mean)
        middle = (method.whole.query + method.frame.query) / 2
        near(found[1, 0], method.class_projector(middle))
    near(found[1, 3], method.row_end.detach())  # behind a row of two


def test_attention_of_a_window_is_scaled_by_the_whole_width():
    down = build("video_panda").down
    torch.nn.init.ones_(down.gate)
    window = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        mean = window[0].mean(0)
        query = down.query_projector(mean).view(8, 2)
        keys = down.key_projector(window[0]).view(4, 8, 2)
        values = down.value_projector(window[0]).view(4, 8, 2)
        logits = torch.einsum("hd,khd->hk", query, keys) / 4
        heads = torch.einsum("hk,khd->hd", logits.softmax(1), values).flatten()
        near(down(window)[0], mean + down.output_projector(heads))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nobody", {}, "tower_method must be one of grt, prompt_switch.*'nobody'"),
        ("grt", {"depth": 2}, "'grt' has no option 'depth'; accepted are threshold"),
        ("residual_vit", {"drop": 1.0}, "drop must be at least 0 and below 1, got 1.0"),
        ("tempme", {"joins": (2, 2, 3)}, "must be fewer than the 3 layers"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_tower_method(name, SIZES, options)


def test_a_tower_without_layers_is_refused():
    fields = {"embedding_size": 4, "hidden_sizes": [4], "depths": [1]}
    tower = ResNetModel(ResNetConfig(**fields, layer_type="basic"))
    with pytest.raises(ValueError, match="needs a ViT as of CLIP.*got ResNetModel"):
        Layers(tower)


def test_another_package_adds_a_tower_method(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        module="adds_a_tower_method",
        source=(
            "from torch import nn\n"
            "def build(sizes, factor=2):\n"
            "    return nn.Linear(sizes.dim, factor)\n"
        ),
        entry_points="[dynfocus.towers]\nlinear = adds_a_tower_method:build\n",
    )
    assert build_tower_method("linear", SIZES, {"factor": 3}).weight.shape == (3, 16)
    with pytest.raises(
        ValueError, match="'linear' has no option 'x'; accepted are fac"
    ):
        build_tower_method("linear", SIZES, {"x": 1})


def test_methods_are_listed_by_name():
    assert list(TOWERS) == sorted(TOWERS)
