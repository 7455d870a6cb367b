"""A trained tower of InstructBLIP's kind as a SigLIP tower, which has no class token.

Models of other kinds can then start from it, such as LLaVA-OneVision, whose vision tower
is SigLIP's, or a dual encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    InstructBlipVisionModel,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
    SiglipTextConfig,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from dynfocus.models.dynfocus import DynFocusProcessor

_BILINEAR = 2  # Pillow's number


@torch.no_grad()
def siglip_tower(
    tower: InstructBlipVisionModel, *, pooling_head: bool = False
) -> SiglipVisionModel:
    """Rebuild a vision tower without its class token as a SigLIP tower.

    Both are the same transformer: the fused matrix of queries, keys and values is cut in
    three, and every other weight keeps its values. The class token and its position are
    dropped, so patches no longer attend to it; that is the only difference to the
    original, and a tower in which nothing attends to it is rebuilt exactly.

    Args:
        tower: The trained tower; it is not changed.
        pooling_head: Whether to add SigLIP's attention pooling, untrained.

    Returns:
        The tower in the precision and on the device of the original, ready to infer.
        Like there, ``hidden_states[-1]`` is what stands before the final norm.

    Raises:
        ValueError: The tower is of another kind.
    """
    if not isinstance(tower, InstructBlipVisionModel):
        raise ValueError(
            "tower must be an InstructBlipVisionModel, such as nano's, got a "
            f"{type(tower).__name__}; start from a model that has one"
        )
    config = tower.config
    model = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            image_size=config.image_size,
            patch_size=config.patch_size,
            hidden_act=config.hidden_act,
            layer_norm_eps=config.layer_norm_eps,
            attention_dropout=config.attention_dropout,
            vision_use_head=pooling_head,
        )
    )
    state = _rename(tower.state_dict())
    head = {k: v for k, v in model.state_dict().items() if k.startswith("head.")}
    model.load_state_dict(state | head)
    return model.to(device=tower.device, dtype=tower.dtype).eval()


def siglip_dual_encoder(
    tower: InstructBlipVisionModel,
    *,
    vocab_size: int,
    num_text_layers: int,
    max_question_tokens: int,
) -> SiglipModel:
    """Build a dual encoder around a trained tower; its other half is untrained.

    Args:
        tower: The trained tower.
        vocab_size: Entries of the text model's vocabulary.
        num_text_layers: Layers of the text model, which is as wide as the tower.
        max_question_tokens: Tokens of a question.
    """
    trained = siglip_tower(tower, pooling_head=True)
    vision = trained.config
    text = SiglipTextConfig(
        vocab_size=vocab_size,
        hidden_size=vision.hidden_size,
        intermediate_size=vision.intermediate_size,
        num_hidden_layers=num_text_layers,
        num_attention_heads=vision.num_attention_heads,
        max_position_embeddings=max_question_tokens,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = SiglipModel(
        SiglipConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    )
    model.vision_model = trained
    return model


def siglip_processor(
    processor: DynFocusProcessor, max_question_tokens: int
) -> SiglipProcessor:
    """Build the processor of a dual encoder from a DynFocus model's own.

    Frames have the same size, mean and deviation, questions the same vocabulary.

    Args:
        processor: The model's processor.
        max_question_tokens: Tokens of a question; shorter ones are padded, longer cut.
    """
    side = processor.frame_size
    images = SiglipImageProcessorPil(
        size={"height": side, "width": side},
        resample=_BILINEAR,
        image_mean=processor.image_mean,
        image_std=processor.image_std,
    )
    words = processor.qformer_tokenizer
    tokenizer = type(words)(
        tokenizer_object=words.backend_tokenizer,
        model_max_length=max_question_tokens,
        model_input_names=["input_ids"],
        **words.special_tokens_map,
    )
    return SiglipProcessor(images, tokenizer)


def _rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give InstructBLIP's weights the names and shapes they have in SigLIP."""
    renamed = {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        if name == "embeddings.position_embedding":
            renamed[f"{name}.weight"] = value[0, 1:]
        elif stem.endswith(".qkv"):
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{stem.removesuffix('qkv')}{part}_proj.{kind}"] = piece
        elif name != "embeddings.class_embedding":
            renamed[name.replace(".projection.", ".out_proj.")] = value
    return renamed
