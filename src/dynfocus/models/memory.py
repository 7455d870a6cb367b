"""How much memory a model will take, told from its configuration before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText

from dynfocus.focus.features import WINDOW_FRAMES
from dynfocus.models.video_config import VideoConfig
from dynfocus.models.vision import count_patches

QUANTIZATIONS = ("8bit", "4bit")
KEPT_WHOLE = (
    "vision_tower",
    "text_encoder",
    "focus_network",
    "lm_head",
)
"""Modules that keep their precision when a model is quantised."""

_BYTES = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}  # 4 bits, and a scale for each 64 weights
_MEMORY_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes that a loaded model takes while it answers."""

    weights: int
    """All weights."""
    window: int
    """The vision tower's work on one window of frames; it does not grow with a video."""
    cache: int
    """Keys and values of a prompt that fills the language model's context."""

    @property
    def total(self) -> int:
        """Everything together."""
        return self.weights + self.window + self.cache


def estimate_memory(
    config: VideoConfig, dtype: torch.dtype, quantize: str | None = None
) -> MemoryEstimate:
    """Estimate the memory of a model from its configuration.

    Args:
        config: The configuration.
        dtype: Precision of the weights and of the work.
        quantize: ``"8bit"`` or ``"4bit"`` for the language model's matrices.

    Returns:
        The estimate; nothing is loaded for it.
    """
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    width = dtype.itemsize
    matrices = sum(_quantised_weights(model)) if quantize else 0
    whole = sum(weight.numel() for weight in model.parameters()) - matrices
    weights = whole * width + matrices * _BYTES.get(quantize or "", 0.0)
    vision, language = config.vision_config, config.text_config
    tokens = WINDOW_FRAMES * (count_patches(vision) + 1)
    inner = getattr(vision, "intermediate_size", 4 * vision.hidden_size)
    per_token = inner + 6 * vision.hidden_size
    heads = language.num_attention_heads
    groups = getattr(language, "num_key_value_heads", None) or heads
    head_dim = getattr(language, "head_dim", None) or language.hidden_size // heads
    cache = 2 * language.num_hidden_layers * groups * head_dim
    return MemoryEstimate(
        weights=round(weights),
        window=tokens * per_token * width,
        cache=cache * min(4096, language.max_position_embeddings) * width,
    )


def _quantised_weights(model: nn.Module) -> Iterator[int]:
    for name, module in model.named_modules():
        is_whole = any(part in name.split(".") for part in KEPT_WHOLE)
        if isinstance(module, nn.Linear) and not is_whole:
            yield module.weight.numel()


def free_memory(device: str) -> int | None:
    """Give the free bytes of a device; None where the system does not say."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if torch.device(device).type != "cpu":
        return None
    found = [_meminfo(Path("/proc/meminfo")), _group(*map(Path, _MEMORY_FILES))]
    known = [free for free in found if free is not None]
    return min(known) if known else None


def _meminfo(file: Path) -> int | None:
    if not file.is_file():
        return None
    fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if line)
    kibibytes = fields.get("MemAvailable", "").split()
    return int(kibibytes[0]) * 1024 if kibibytes else None


def _group(limit: Path, used: Path) -> int | None:
    """Read what a container may still take; its limit may be less than the machine."""
    if not limit.is_file() or not used.is_file():
        return None
    text = limit.read_text().strip()
    return None if text == "max" else int(text) - int(used.read_text())


def check_memory(
    config: VideoConfig,
    source: str,
    *,
    device: str,
    dtype: torch.dtype,
    quantize: str | None = None,
) -> None:
    """Refuse a model that cannot fit, and name the setting with which it would.

    Args:
        config: Its configuration.
        source: What it is loaded as.
        device: Where to.
        dtype: Precision.
        quantize: ``"8bit"``, ``"4bit"`` or None.
    """
    free = free_memory(device)
    needed = estimate_memory(config, dtype, quantize)
    if free is None or needed.total <= free:
        return
    kind = f"{quantize}, the rest " if quantize else ""
    raise ValueError(
        f"{source} needs about {_gib(needed.total)} in {kind}"
        f"{str(dtype).removeprefix('torch.')} (weights {_gib(needed.weights)}, a window "
        f"of frames {_gib(needed.window)}, a full context {_gib(needed.cache)}), but "
        f"{device} has {_gib(free)} free; {_remedy(config, device, dtype, quantize, free)}"
    )


def _remedy(
    config: VideoConfig,
    device: str,
    dtype: torch.dtype,
    quantize: str | None,
    free: int,
) -> str:
    """Name the mildest setting that fits."""
    is_gpu, half = torch.device(device).type == "cuda", torch.bfloat16
    steps = QUANTIZATIONS[QUANTIZATIONS.index(quantize) + 1 if quantize else 0 :]
    trials = [(f"quantize {s}", half if is_gpu else dtype, s) for s in steps]
    if dtype == torch.float32 and quantize is None:
        trials.insert(0, ("dtype bfloat16", half, ""))
    if dtype == torch.float32 and not is_gpu:
        trials += [(f"quantize {s} with dtype bfloat16", half, s) for s in steps]
    for words, precision, step in trials:
        total = estimate_memory(config, precision, step or None).total
        if total <= free:
            return f"it would fit with {words} ({_gib(total)})"
    if is_gpu:
        return "no precision fits, so spread it over more memory with device_map 'auto'"
    return "no precision fits, so free memory or choose a smaller model"


def quantization_config(
    quantize: str | None, dtype: torch.dtype, *, is_training: bool = False
) -> Any:
    """Build what transformers needs to quantise the language model; None for nothing.

    Training of adapters quantises the scales of 4 bits once more, as QLoRA does: it saves
    0.4 bits a weight where optimizer and activations want the memory, and the adapters
    learn to make up for the loss. Answering keeps them whole, since nothing makes up.

    Args:
        quantize: ``"8bit"``, ``"4bit"`` or None.
        dtype: Precision that 4 bits are multiplied in; 8 bits follow their input.
        is_training: Whether adapters learn on the weights.
    """
    if quantize is None:
        return None
    import_quantizer()
    from transformers import BitsAndBytesConfig

    options: dict[str, Any] = {"llm_int8_skip_modules": list(KEPT_WHOLE)}
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, **options)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=is_training,
        **options,
    )


def import_quantizer() -> None:
    """Say which extra is needed where bitsandbytes is not installed."""
    try:
        import bitsandbytes  # noqa: F401 only whether it is there
    except ImportError as error:
        raise ImportError(
            "quantize needs bitsandbytes, which is not installed; install it with "
            "pip install 'dynfocus[quantization]'"
        ) from error


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
