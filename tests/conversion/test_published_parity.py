"""An assembled model with the published settings computes what the published code does."""

from __future__ import annotations

import published_code
import pytest
import torch
from published_layouts import FOCUS, SIDE, WIDTH
from torch import Tensor

from dynfocus.conversion import assemble
from dynfocus.models.vision import encode_pixels

HEADS, QFORMER_HEADS = 16, 12
WORDS = [4, 9, 4, 17, 2]


@pytest.fixture
def published_state(llama_vid_state) -> dict[str, Tensor]:
    """Add to a LLaMA-VID what the published code of DynFocus has besides."""
    draw = torch.Generator().manual_seed(11)
    shapes = {
        "selective_net.score_network.in_conv.0": (2 * WIDTH,),
        "selective_net.score_network.in_conv.1": (2 * WIDTH, 2 * WIDTH),
        "selective_net.score_network.out_conv.0": (WIDTH, 2 * WIDTH),
        "selective_net.score_network.out_conv.2": (WIDTH // 2, WIDTH),
        "selective_net.score_network.out_conv.4": (1, WIDTH // 2),
        "merge.score": (2, 2),
        "merge.proj_k": (5, WIDTH),
        "merge.norm": (WIDTH,),
        "selective_net.merge.score": (2, 2),
        "sf_former.slow_proj": (WIDTH, WIDTH),
        "model.vlm_att_em_projector": (32, WIDTH),
    }
    state = dict(llama_vid_state)
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(shape, generator=draw) * 0.3
        state[f"{name}.bias"] = torch.randn(shape[0], generator=draw) * 0.3
    return state


@pytest.fixture
def model(llama_vid, published_state, bert, make_choices):
    """Assemble what the published code would have saved."""
    (llama_vid / "pytorch_model.bin.index.json").unlink()
    torch.save(published_state, llama_vid / "pytorch_model.bin")
    choices = make_choices(
        "official", text_side="frame_queries", question_tokenizer=bert
    )
    made = assemble(llama_vid, llama_vid, choices=choices)
    assert made.report.fresh == ()
    groups = {n.rsplit(".", 1)[0] for n in made.report.unused[str(llama_vid)]}
    assert groups == {
        "merge.norm",
        "merge.proj_k",
        "model.layers.0.self_attn.rotary_emb",
        "model.vlm_att_em_projector",
        "model.vlm_att_encoder.bert.embeddings",
        "selective_net.merge.score",
        "sf_former.slow_proj",
    }
    return made.model.eval()


def draw_frames(num_frames: int) -> Tensor:
    draw = torch.Generator().manual_seed(5)
    return torch.randn(num_frames, 3, SIDE, SIDE, generator=draw)


def close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_content_is_the_tower_before_its_norm(model, published_state):
    frames = draw_frames(2)
    with torch.no_grad():
        got = encode_pixels(model.vision_tower, frames)
    for number, frame in enumerate(frames):
        hidden = published_code.tower(published_state, frame, HEADS)
        close(got.content[number], hidden[1:])
        seen = published_code.norm(published_state, "model.vlm_att_ln", hidden, 1e-6)
        close(got.normalised[number], seen)


def test_the_q_former_reads_question_and_frame(model, published_state):
    frames = draw_frames(2)
    with torch.no_grad():
        seen = encode_pixels(model.vision_tower, frames).normalised
        ids = torch.tensor([WORDS] * 2)
        got = model.text_encoder(
            input_ids=ids,
            attention_mask=torch.ones(2, 3 + len(WORDS), dtype=torch.long),
            query_embeds=model.query_tokens.expand(2, -1, -1),
            encoder_hidden_states=seen,
        ).last_hidden_state[:, :3]
        text = model.text_encoder(
            input_ids=ids[:1], attention_mask=torch.ones_like(ids[:1])
        ).last_hidden_state[0]
    for number in range(2):
        wanted = published_code.qformer(
            published_state, WORDS, seen[number], QFORMER_HEADS
        )
        close(got[number], wanted)
    close(text, published_code.qformer(published_state, WORDS, None, QFORMER_HEADS))


def test_the_merger_weighs_and_groups_its_clusters(model, published_state):
    patches = torch.randn(3, 16, WIDTH, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        got = model.focus_network.spatial_prototypes(patches)
    for number in range(3):
        wanted = published_code.merge(
            published_state,
            patches[number],
            FOCUS["num_spatial_prototypes"],
            FOCUS["num_spatial_neighbors"],
        )
        close(got[number], wanted)


def test_scores_come_from_the_half_global_network(model, published_state):
    pooled = torch.randn(1, 7, 4, WIDTH, generator=torch.Generator().manual_seed(4))
    events = model.focus_network.event_prototypes
    with torch.no_grad():
        prototypes = events.estimate(pooled, torch.ones(1, 7, dtype=torch.bool))
        got = events.select(prototypes, events.score(prototypes), [1]).scores[0]
    close(got, published_code.scores(published_state, list(pooled[0])))


@pytest.mark.parametrize("num_frames", [1, 2, 7, 12])
def test_video_tokens_equal_those_of_the_published_code(
    model, published_state, num_frames
):
    frames = draw_frames(num_frames)
    with torch.no_grad():
        wanted, keys = published_code.video_tokens(
            published_state,
            frames,
            WORDS,
            num_tower_heads=HEADS,
            num_qformer_heads=QFORMER_HEADS,
            pooled_side=2,
            sizes=FOCUS["num_spatial_prototypes"],
            neighbors=FOCUS["num_spatial_neighbors"],
        )
        features = model.encode_video(frames, torch.arange(float(num_frames)))
        (got,) = model(
            input_ids=torch.full((1, len(wanted)), model.config.video_token_id),
            video_features=[features],
            qformer_input_ids=torch.tensor([WORDS]),
            qformer_attention_mask=torch.ones(1, len(WORDS), dtype=torch.long),
            block_videos=torch.tensor([0]),
        ).video_tokens
    assert got.is_cone.nonzero().flatten().tolist() == keys
    close(got.embeds, wanted)
