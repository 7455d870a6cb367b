"""Models from every layout: whose weights they have, and that nothing is lost."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from published_layouts import COLOURS, QFORMER, SIDE, as_eva, write_image_processor
from transformers import (
    AutoModelForCausalLM,
    CLIPVisionModel,
    InstructBlipForConditionalGeneration,
    InstructBlipVisionModel,
    Siglip2Config,
    SiglipVisionModel,
)

import dynfocus
from dynfocus.cli import main
from dynfocus.conversion import assemble, checkpoints
from dynfocus.conversion.checkpoints import read_tensors
from dynfocus.conversion.key_maps import module_of
from dynfocus.errors import DownloadError
from dynfocus.models.dynfocus import DynFocusConfig, DynFocusForConditionalGeneration
from dynfocus.models.vision import encode_pixels

FRESH = {
    "focus_network.cooperative_encoding.context_projector",
    "focus_network.cooperative_encoding.key_projector",
    "focus_network.cooperative_encoding.multi_modal_projector",
    "focus_network.cooperative_encoding.query_projector",
    "focus_network.event_prototypes.score_network",
}


SMALL_QFORMER = {k: v for k, v in QFORMER.items() if "vocab" not in k}


def modules(names):
    return {module_of(name) for name in names}


def check_accounts(assembly, *sources):
    """Every tensor of the model and of each source has exactly one fate."""
    model, report = assembly.model, assembly.report
    tied = model.all_tied_weights_keys
    own = [name for name in model.state_dict() if name not in tied]
    loaded = [name for names in report.loaded.values() for name in names]
    assert sorted([*loaded, *report.fresh]) == sorted(own)
    assert set(report.unused) == {str(source) for source in sources}
    for source in sources:
        names = set(read_tensors(source).names)
        assert set(report.unused[str(source)]) <= names


def test_instructblip_and_vicuna_make_a_model(
    instructblip, vicuna, make_choices, instructblip_state
):
    made = assemble(
        instructblip, vicuna, choices=make_choices(text_side="frame_queries")
    )
    check_accounts(made, instructblip, vicuna)
    state = made.model.state_dict()
    for name, tensor in instructblip_state.items():
        own = name.replace("vision_model.", "vision_tower.", 1)
        own = own.replace("qformer.", "text_encoder.", 1)
        if not name.startswith("language_"):
            torch.testing.assert_close(state[own], tensor, rtol=0, atol=0)
    assert modules(made.report.fresh) == FRESH
    unused = made.report.unused
    assert modules(unused[str(instructblip)]) == {
        "language_model.model",
        "language_model.lm_head",
        "language_projection.weight",
        "language_projection.bias",
    }
    assert unused[str(vicuna)] == ()
    assert made.processor.image_mean == COLOURS["image_mean"]
    assert made.processor.image_std == COLOURS["image_std"]
    assert made.processor.frame_size == SIDE
    assert len(made.processor.qformer_tokenizer) == QFORMER["vocab_size"]


def test_the_language_model_speaks_as_before(instructblip, vicuna, make_choices):
    made = assemble(instructblip, vicuna, choices=make_choices())
    whole = AutoModelForCausalLM.from_pretrained(vicuna)
    ids = torch.tensor([[1, 5, 7, 4]])
    with torch.no_grad():
        got = made.model(input_ids=ids).logits
        wanted = whole(input_ids=ids).logits
    torch.testing.assert_close(got[..., :12], wanted)
    assert got.shape[-1] == 13
    words = made.model.get_input_embeddings().weight
    torch.testing.assert_close(words[12], words[:12].mean(0))
    assert "grew from 12 to 13 rows" in made.report.notes[0]
    assert made.model.generation_config.eos_token_id == 2


def test_the_paper_reads_the_question_and_leaves_the_queries(
    instructblip, vicuna, make_choices
):
    made = assemble(instructblip, vicuna, choices=make_choices())
    check_accounts(made, instructblip, vicuna)
    assert made.model.query_tokens is None
    assert "query_tokens" in made.report.unused[str(instructblip)]
    assert any("'frame_queries'" in note for note in made.report.notes)


def test_published_files_give_the_same_model_as_transformers(
    instructblip, vicuna, eva_file, qformer_file, bert, make_choices
):
    choices = make_choices(text_side="frame_queries")
    wanted = assemble(instructblip, vicuna, choices=choices)
    choices = make_choices(text_side="frame_queries", question_tokenizer=bert)
    made = assemble(eva_file, vicuna, qformer_from=qformer_file, choices=choices)
    check_accounts(made, eva_file, vicuna, qformer_file)
    got = made.model.state_dict()
    for name, tensor in wanted.model.state_dict().items():
        torch.testing.assert_close(got[name], tensor, rtol=0, atol=0)
    assert made.report.unused[str(eva_file)] == ("norm.weight", "head.weight")
    assert sorted(made.report.unused[str(qformer_file)]) == [
        "Qformer.bert.embeddings.position_ids",
        "llm_proj.weight",
    ]
    assert made.model.config.qformer_config.to_dict() == {
        **wanted.model.config.qformer_config.to_dict(),
        **{
            k: v
            for k, v in made.model.config.qformer_config.to_dict().items()
            if "dropout" in k
        },
    }
    mean = (0.48145466, 0.4578275, 0.40821073)
    assert made.processor.image_mean == pytest.approx(mean)
    assert "[DEC]" in made.processor.qformer_tokenizer.get_vocab()


def test_the_last_of_forty_blocks_is_left_out(
    tmp_path, vicuna, make_choices, instructblip_state
):
    torch.save(as_eva(instructblip_state, 40), tmp_path / "eva.pth")
    choices = make_choices(qformer=SMALL_QFORMER)
    made = assemble(tmp_path / "eva.pth", vicuna, choices=choices)
    assert made.model.config.vision_config.num_hidden_layers == 39
    unused = made.report.unused[str(tmp_path / "eva.pth")]
    assert len(unused) == 13
    assert all(name.startswith("blocks.39.") for name in unused)
    assert "vision_tower.post_layernorm.weight" in made.report.fresh


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_a_llama_vid_is_taken_whole(
    llama_vid, llama_vid_state, bert, make_choices, preset
):
    choices = make_choices(preset, text_side="frame_queries", question_tokenizer=bert)
    made = assemble(llama_vid, llama_vid, choices=choices)
    check_accounts(made, llama_vid)
    state = made.model.state_dict()
    for name, own in {
        "model.mm_projector.2.bias": "focus_network.cooperative_encoding.multi_modal_projector.2.bias",
        "model.vlm_att_projector.weight": "focus_network.cooperative_encoding.query_projector.weight",
        "model.vlm_att_key_projector.weight": "focus_network.cooperative_encoding.key_projector.weight",
        "model.vlm_att_val_projector.bias": "focus_network.cooperative_encoding.context_projector.bias",
        "model.vlm_att_query": "query_tokens",
        "model.vlm_att_ln.weight": "vision_tower.post_layernorm.weight",
        "model.layers.1.mlp.up_proj.weight": "language_model.model.layers.1.mlp.up_proj.weight",
    }.items():
        torch.testing.assert_close(state[own], llama_vid_state[name], rtol=0, atol=0)
    extra = {"focus_network.spatial_prototypes.gate"} if preset == "official" else set()
    assert (
        modules(made.report.fresh)
        == {"focus_network.event_prototypes.score_network"} | extra
    )
    assert sorted(made.report.unused[str(llama_vid)]) == [
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.vlm_att_encoder.bert.embeddings.position_ids",
    ]


def test_score_network_and_merger_of_the_published_code_are_taken(
    tmp_path, vicuna, instructblip, llama_vid_state, make_choices
):
    choices = make_choices("official")
    empty = assemble(instructblip, vicuna, choices=choices).model.state_dict()
    projectors = {
        k: v for k, v in llama_vid_state.items() if "mm_proj" in k or "vlm_att" in k
    }
    projectors |= {
        name.replace(
            "focus_network.event_prototypes", "selective_net"
        ): torch.full_like(t, 0.5)
        for name, t in empty.items()
        if name.startswith("focus_network.event_prototypes")
    }
    projectors |= {
        "merge.score.weight": torch.eye(2),
        "merge.score.bias": torch.ones(2),
    }
    torch.save(projectors, tmp_path / "mm_projector.bin")
    made = assemble(
        instructblip,
        vicuna,
        connector_from=tmp_path / "mm_projector.bin",
        choices=choices,
    )
    check_accounts(made, instructblip, vicuna, tmp_path / "mm_projector.bin")
    assert made.report.fresh == ()
    state = made.model.state_dict()
    torch.testing.assert_close(
        state["focus_network.spatial_prototypes.gate.weight"], torch.eye(2)
    )
    assert (
        state["focus_network.event_prototypes.score_network.out_conv.4.weight"] == 0.5
    ).all()


def test_a_shard_of_projectors_serves_an_eva_tower(
    tmp_path, eva_file, llama_vid, bert, make_choices
):
    """LLaMA-VID's loader takes the tower from its own file; so can ours."""
    choices = make_choices(text_side="frame_queries", question_tokenizer=bert)
    made = assemble(eva_file, llama_vid, choices=choices)
    check_accounts(made, eva_file, llama_vid)
    loaded = made.report.loaded
    assert modules(loaded[str(eva_file)]) == {
        "vision_tower.embeddings",
        "vision_tower.encoder",
    }
    assert "text_encoder.embeddings" in modules(loaded[str(llama_vid)])
    unused = made.report.unused[str(llama_vid)]
    assert (
        sum(".vision_tower." in name for name in unused)
        == len(loaded[str(eva_file)]) + 2
    )


@pytest.mark.parametrize(
    ("tower", "reader"),
    [
        ("clip", "vicuna"),
        ("siglip", "qwen"),
        ("clip", "qwen3"),
        ("siglip", "smollm2"),
        ("siglip2", "smollm3"),
    ],
)
def test_other_families_assemble_by_name_alone(
    request, tmp_path, make_choices, tower, reader
):
    tower, reader = map(request.getfixturevalue, (tower, reader))
    made = assemble(tower, reader, choices=make_choices(qformer=SMALL_QFORMER))
    check_accounts(made, tower, reader)
    text_half = set(made.report.unused[str(tower)])
    names = read_tensors(tower).names
    others = {n for n in names if not n.startswith("vision_model.")}
    assert text_half == (set() if others == set(names) else others)  # a tower alone
    assert made.report.unused[str(reader)] == ()
    assert "text_encoder.embeddings" in modules(made.report.fresh)
    assert made.processor.image_std == COLOURS["image_std"]
    made.save(tmp_path / "out")
    focused = dynfocus.load(tmp_path / "out")
    frames = np.random.default_rng(0).integers(
        0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8
    )
    answer = focused.ask(frames, "w1 w2", max_new_tokens=3)
    assert answer.tokens == made.processor.num_video_tokens(6)


def test_a_q_former_of_another_width_keeps_all_but_its_eyes(
    clip, vicuna, instructblip, make_choices
):
    made = assemble(clip, vicuna, qformer_from=instructblip, choices=make_choices())
    check_accounts(made, clip, vicuna, instructblip)
    fresh = [n for n in made.report.fresh if n.startswith("text_encoder.")]
    assert len(fresh) == 4  # keys and values of layers 0 and 2
    assert all(".crossattention.attention." in name for name in fresh)
    assert any(
        "width 32" in note and "width 16" not in note for note in made.report.notes
    )


def test_full_size_has_the_papers_parameters():
    with torch.device("meta"):
        model = DynFocusForConditionalGeneration(DynFocusConfig())
    encoding = model.focus_network.cooperative_encoding
    counts = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in {
            "tower": model.vision_tower,
            "projector": encoding.multi_modal_projector,
            "context": encoding.context_projector,
            "key": encoding.key_projector,
            "language": model.language_model,
        }.items()
    }
    assert counts == {
        "tower": 985_952_256,
        "projector": 22_552_576,
        "context": 5_771_264,
        "key": 1_983_872,
        "language": 6_738_415_616,
    }
    dynamic = counts["projector"] + counts["context"] + counts["key"]
    assert round(dynamic / 1e6, 2) == 30.31


def test_content_is_read_before_the_norm_and_the_q_former_after_it(
    instructblip, vicuna, make_choices
):
    made = assemble(instructblip, vicuna, choices=make_choices())
    whole = InstructBlipForConditionalGeneration.from_pretrained(instructblip)
    check_two_readings(made.model.vision_tower, whole.vision_model, True)
    assert isinstance(made.model.vision_tower, InstructBlipVisionModel)


@pytest.mark.parametrize(
    ("tower", "vision_class", "has_class_token"),
    [("clip", CLIPVisionModel, True), ("siglip", SiglipVisionModel, False)],
)
def test_other_towers_have_the_same_two_readings(
    request, vicuna, make_choices, tower, vision_class, has_class_token
):
    folder = request.getfixturevalue(tower)
    choices = make_choices(qformer=SMALL_QFORMER)
    made = assemble(folder, vicuna, choices=choices)
    whole = vision_class.from_pretrained(folder)
    check_two_readings(made.model.vision_tower, whole, has_class_token)


def check_two_readings(tower, reference, has_class_token):
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got = encode_pixels(tower.eval(), pixels)
        outputs = reference.eval()(pixels, output_hidden_states=True)
    last = outputs.hidden_states[-1]
    torch.testing.assert_close(got.content, last[:, int(has_class_token) :])
    inner = getattr(reference, "vision_model", reference)
    torch.testing.assert_close(got.normalised, inner.post_layernorm(last))
    if isinstance(reference, CLIPVisionModel):  # normalises its class token alone
        torch.testing.assert_close(got.normalised[:, 0], outputs.pooler_output)
    else:
        torch.testing.assert_close(got.normalised, outputs.last_hidden_state)
    assert not torch.allclose(got.content, got.normalised[:, int(has_class_token) :])


def test_what_is_saved_answers_and_is_the_same_for_the_same_seed(
    instructblip, vicuna, make_choices, tmp_path
):
    first, again, other = (
        assemble(
            instructblip, vicuna, choices=make_choices(seed=seed, dtype=torch.bfloat16)
        )
        for seed in (1, 1, 2)
    )
    name = "focus_network.cooperative_encoding.key_projector.weight"
    assert torch.equal(first.model.state_dict()[name], again.model.state_dict()[name])
    assert not torch.equal(
        first.model.state_dict()[name], other.model.state_dict()[name]
    )
    first.save(tmp_path / "out", max_shard_size="50KB")
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 1
    assert json.loads((tmp_path / "out" / "assembly.json").read_text())["fresh"]
    focused = dynfocus.load(tmp_path / "out", dtype=torch.bfloat16)
    assert {p.dtype for p in focused.model.parameters()} == {torch.bfloat16}
    frames = np.random.default_rng(0).integers(
        0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8
    )
    assert focused.ask(frames, "w1", max_new_tokens=2).tokens > 0
    with pytest.raises(
        ValueError, match="is there and not empty; choose another folder"
    ):
        first.save(tmp_path / "out")


def test_the_global_random_state_is_left_alone(instructblip, vicuna, make_choices):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    assemble(instructblip, vicuna, choices=make_choices(seed=3))
    assert torch.equal(torch.rand(1), wanted)


def test_what_does_not_fit_is_refused_by_name_and_shape(
    tmp_path,
    instructblip,
    vicuna,
    eva_file,
    qformer_file,
    clip,
    bert,
    make_choices,
    llama_vid_state,
):
    choices = make_choices(question_tokenizer=bert)

    def refused(match, vision=instructblip, reader=vicuna, **options):
        options.setdefault("choices", choices)
        with pytest.raises(ValueError, match=match):
            assemble(vision, reader, **options)

    refused("holds no vision tower; give --vision-from", vision=qformer_file)
    refused("holds no Q-Former; give InstructBLIP", qformer_from=eva_file)
    refused("holds no projectors; give LLaMA-VID", connector_from=eva_file)
    refused(
        "neither a file, nor a folder with a config.json", vision=tmp_path / "nothing"
    )
    refused("must be a folder or a hub id with a tokenizer", reader=eva_file)
    refused("cannot be loaded as AutoModelForCausalLM", reader=clip)
    refused("type 'llama', which has no vision tower", vision=vicuna)
    Siglip2Config().save_pretrained(tmp_path / "naflex")
    refused(
        "'siglip2', which has no vision tower for images of one size",
        vision=tmp_path / "naflex",
    )
    wider = {
        k: torch.zeros(*(2 * s for s in v.shape)) for k, v in llama_vid_state.items()
    }
    torch.save(
        {k: v for k, v in wider.items() if "mm_proj" in k}, tmp_path / "wide.bin"
    )
    refused(
        r"multi_modal_projector of .*wide.bin does not fit: 4 have another shape "
        r"\(.*projector.0.bias is \[64\] and must be \[32\]",
        connector_from=tmp_path / "wide.bin",
    )
    state = torch.load(eva_file, weights_only=True)
    del state["blocks.1.mlp.fc2.weight"]
    torch.save(state, tmp_path / "short.pth")
    refused(
        r"short.pth does not fit as vision tower: 1 tensor missing "
        r"\(vision_tower.encoder.layers.1.mlp.fc2.weight\)",
        vision=tmp_path / "short.pth",
    )
    state = torch.load(qformer_file, weights_only=True)["model"]
    state["Qformer.bert.encoder.layer.1.output.dense.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "bent.pth")
    refused(
        r"bent.pth does not fit as Q-Former: 1 have another shape \(text_encoder.encoder"
        r".layer.1.output.dense.bias is \[7\] and must be \[24\]\)",
        qformer_from=tmp_path / "bent.pth",
    )
    refused(
        "reads 23 words of its own, but brings no tokenizer; give --question-tokenizer",
        vision=eva_file,
        qformer_from=qformer_file,
        choices=make_choices(),
    )
    refused(
        "the sizes of the Q-Former come from .*, so hidden_size cannot be chosen",
        choices=make_choices(qformer={"hidden_size": 3}),
    )
    refused(
        "unknown setting 'colour'",
        vision=clip,
        choices=make_choices(qformer={"colour": 1}),
    )


def test_files_with_code_in_them_are_not_run(tmp_path, vicuna, make_choices):
    class Trap:
        def __reduce__(self):
            return (print, ("trapped",))

    torch.save({"model": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="cannot be read as tensors alone"):
        assemble(tmp_path / "trap.pth", vicuna, choices=make_choices())
    (tmp_path / "noise.pth").write_bytes(b"noise")
    with pytest.raises(ValueError, match="cannot be read as tensors alone"):
        assemble(tmp_path / "noise.pth", vicuna, choices=make_choices())
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="holds no tensors by name"):
        assemble(tmp_path / "empty.pth", vicuna, choices=make_choices())


def test_colours_come_from_the_towers_own_image_processor(
    siglip, vicuna, make_choices, tmp_path
):
    choices = make_choices(qformer=SMALL_QFORMER)
    folder = tmp_path / "siglip"
    shutil.copytree(siglip, folder)
    write_image_processor(folder, side=2 * SIDE)
    with pytest.raises(ValueError, match="makes images of 56, but .* reads 28x28"):
        assemble(folder, vicuna, choices=choices)
    write_image_processor(folder, do_normalize=False)
    made = assemble(folder, vicuna, choices=choices)
    assert made.processor.image_std == [1.0, 1.0, 1.0]
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="no image processor .* give --image-mean"):
        assemble(folder, vicuna, choices=choices)
    given = make_choices(
        qformer=SMALL_QFORMER, image_mean=(0.5,) * 3, image_std=(0.25,) * 3
    )
    made = assemble(folder, vicuna, choices=given)
    assert made.processor.image_std == [0.25] * 3


def test_the_command_reports_and_prints_the_folder(
    instructblip, qwen, tmp_path, capsys
):
    words = ["assemble", "--vision-from", instructblip, "--language-model", qwen]
    words += ["--dtype", "float32", "--json", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["folder"] == str(tmp_path / "out")
    assert document["unused"][str(qwen)] == []
    lines = captured.err.splitlines()
    assert lines[0].startswith("parameters: vision_tower 0.0")
    assert lines[1].startswith(f"loaded from {instructblip}: vision_tower (")
    assert lines[2].startswith(f"loaded from {qwen}: language_model (")
    assert lines[3].startswith(
        "initialised fresh: focus_network.event_prototypes.score_network (6), "
        "focus_network.cooperative_encoding.multi_modal_projector (4), "
    )
    assert lines[4].startswith(f"left unused in {instructblip}: language_model.")
    assert lines[5] == f"left unused in {qwen}: none"
    assert main([str(word) for word in words]) == 1
    assert capsys.readouterr().err.strip() == (
        f"dynfocus: {tmp_path / 'out'} is there and not empty; choose another folder"
    )


def test_a_hub_that_does_not_answer_is_said_in_whole_words(monkeypatch):
    def refuse(source: str) -> None:
        raise DownloadError(f"{source} cannot be fetched; check the network")

    monkeypatch.setattr(checkpoints, "check_reachable", refuse)
    with pytest.raises(
        DownloadError,
        match=r"^there is no file or folder a/b, and a/b cannot be fetched; check the net",
    ):
        checkpoints.read_config("a/b")
