"""A model from a name, a folder or the hub: whole and of the right kind, or refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import GenerationConfig
from transformers.initialization import no_init_weights

from dynfocus.defaults import NANO, locate
from dynfocus.index import IndexStore
from dynfocus.models import dynfocus, slowfocus
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.memory import check_memory, quantization_config
from dynfocus.models.options import LoadOptions
from dynfocus.models.video_config import VideoConfig
from dynfocus.models.video_language_model import VideoLanguageModel
from dynfocus.models.video_model import VideoModel
from dynfocus.models.video_processor import VideoProcessor

KINDS: dict[str, tuple[Any, Any, Any]] = {
    dynfocus.DynFocusConfig.model_type: (
        dynfocus.DynFocusConfig,
        dynfocus.DynFocusForConditionalGeneration,
        dynfocus.DynFocusProcessor,
    ),
    slowfocus.SlowFocusConfig.model_type: (
        slowfocus.SlowFocusConfig,
        slowfocus.SlowFocusForConditionalGeneration,
        slowfocus.SlowFocusProcessor,
    ),
}
"""Configuration, model and processor of each kind of model, by ``model_type``."""
_ASSETS = Path(__file__).parent.parent / "assets"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_SHOWN_KEYS = 3
_SMALL_BYTES = 256 * 2**20
LOADING_ERRORS = (
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


def load_model(
    name: str | Path = NANO, options: LoadOptions | None = None
) -> VideoModel:
    """Load a model of ours that answers questions about videos.

    Args:
        name: ``"nano"``, a folder that `save_pretrained` wrote, or a hub id.
        options: Where it goes, in which precision, and where its videos are kept.

    Returns:
        The model, ready to answer.

    Raises:
        ValueError: The model is not there, not whole, of another kind or too large.
    """
    options = options or LoadOptions()
    of_hosts = {"scorer": options.scorer, "use_timestamps": options.use_timestamps}
    for option, value in of_hosts.items():
        if value:
            raise ValueError(
                f"{option} is for vision language models without training, and "
                f"{name} is none; leave it out"
            )
    model, processor = _load_parts(name, options)
    folder = options.index_folder
    store = None
    if folder is not False:
        store = IndexStore(None if folder is True else folder)
    backbone = FeatureBackbone(model, processor, str(name), store, options.storage)
    return VideoModel(backbone)


def load_parts(
    name: str | Path, **options: Any
) -> tuple[VideoLanguageModel, VideoProcessor]:
    """Load a model and its processor, strictly.

    Args:
        name: ``"nano"``, a folder that `save_pretrained` wrote, or a hub id.
        **options: Fields of `LoadOptions`.

    Returns:
        The model, ready to answer, and its processor.

    Raises:
        ValueError: The model is not there, not whole, of another kind or too large.
    """
    return _load_parts(name, LoadOptions(**options))


def _load_parts(
    name: str | Path, options: LoadOptions
) -> tuple[VideoLanguageModel, VideoProcessor]:
    source, config = _read_config(name)
    _, model_class, processor_class = KINDS[config.model_type]
    place = place_model(options, config.dtype or torch.float32)
    if options.device_map is None and str(name) != NANO:
        quantize = options.quantize
        check_memory(
            config, source, device=place.device, dtype=place.dtype, quantize=quantize
        )
    try:
        is_plain = not place.options and place.dtype == torch.float32
        model = _read_small(source, config) if is_plain else None
        if model is None:
            model, info = model_class.from_pretrained(
                source,
                dtype=place.wanted or "auto",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported by _check_keys, all of them
                **place.options,
            )
            _check_keys(source, info)
        processor = processor_class.from_pretrained(source)
    except LOADING_ERRORS as error:
        raise unloadable(source, error) from error
    _check_vocabulary(source, model, processor)
    return place.settle(model), processor


def _read_small(source: str, config: VideoConfig) -> VideoLanguageModel | None:
    """Fill a small model from its one file, in a tenth of the time of transformers.

    Args:
        source: A folder; a hub id is left to transformers.
        config: The configuration in it.

    Returns:
        The model in float32; None where the file is not there, is large, or does not
        fit the configuration exactly.
    """
    weights = Path(source) / _WEIGHTS[0]
    if not weights.is_file() or weights.stat().st_size > _SMALL_BYTES:
        return None
    config.name_or_path, config.dtype = source, torch.float32
    with no_init_weights():
        model: VideoLanguageModel = KINDS[config.model_type][1](config)
    model.tie_weights()
    given, places = load_file(weights), model.state_dict()
    filled = {places[name].data_ptr() for name in given if name in places}
    if not all(
        name in places and places[name].shape == tensor.shape
        for name, tensor in given.items()
    ) or any(place.data_ptr() not in filled for place in places.values()):
        return None
    model.load_state_dict(given, strict=False)  # tied ones have one name in the file
    for tensor in model.state_dict(keep_vars=True).values():
        tensor._is_hf_initialized = True  # or a model around this one would draw anew
    if (Path(source) / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(source)
    return model


def load_config(
    name: str | Path, dtype: torch.dtype | str | None = None
) -> tuple[VideoConfig, torch.dtype]:
    """Read the configuration of a model, without its weights.

    Args:
        name: ``"nano"``, a folder that `save_pretrained` wrote, or a hub id.
        dtype: A precision that was asked for.

    Returns:
        The configuration, and the precision in which the model works on the default
        device.
    """
    _, config = _read_config(name)
    stored = config.dtype or torch.float32
    return config, place_model(LoadOptions(dtype=dtype), stored).dtype


def _read_config(name: str | Path) -> tuple[str, VideoConfig]:
    source = _locate(name)
    model_type = json.loads(Path(source, "config.json").read_text("utf-8"))[
        "model_type"
    ]
    try:
        return source, KINDS[model_type][0].from_pretrained(source)
    except LOADING_ERRORS as error:
        raise unloadable(source, error) from error


def unloadable(source: str, error: Exception) -> ValueError:
    """Say in a sentence that a model cannot be loaded."""
    text = str(error).strip()
    reason = text.splitlines()[0].rstrip(" .:") if text else type(error).__name__
    return ValueError(
        f"{source} cannot be loaded ({reason}); give a folder that save_pretrained "
        "wrote, whole"
    )


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a model goes and in which precision it works."""

    device: str
    """The device, where it is not spread."""
    dtype: torch.dtype
    """The precision."""
    wanted: torch.dtype | None
    """The precision, or None for that of the weights, whatever their file says."""
    options: dict[str, Any]
    """What transformers needs to quantise and to spread; nothing for neither."""

    def settle(self, model: Any) -> Any:
        """Move a model that was loaded with the options, and make it ready to answer."""
        return (model if self.options else model.to(self.device)).eval()


def place_model(options: LoadOptions, stored: torch.dtype) -> Placement:
    """Choose a device and a precision: float32 on a CPU, unless another is wanted.

    Args:
        options: What is wanted.
        stored: Precision of the checkpoint.

    Raises:
        ImportError: Something that quantises or spreads is not installed.
    """
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    wanted = options.torch_dtype or (torch.float32 if device == "cpu" else None)
    dtype = wanted or stored
    given: dict[str, Any] = {}
    quantization = quantization_config(options.quantize, dtype)
    if quantization is not None:
        given["quantization_config"] = quantization
    if given or options.device_map is not None:
        if find_spec("accelerate") is None:
            raise ImportError(
                "quantize and device_map need accelerate, which is not installed; "
                "install it with pip install 'dynfocus[quantization]'"
            )
        given["device_map"] = options.device_map or {"": device}
    return Placement(device=device, dtype=dtype, wanted=wanted, options=given)


def _locate(name: str | Path) -> str:
    """Find the folder of a model; what is not on this machine is fetched."""
    if str(name) == NANO:
        folder = _ASSETS / NANO
        if not (folder / "config.json").is_file():
            raise ValueError(
                "the nano model is not part of this installation; reinstall dynfocus, "
                "or load a folder or a hub id"
            )
    else:
        folder = locate(name)
    _check_folder(folder)
    return str(folder)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that does not hold a model of ours with its processor."""
    file = folder / "config.json"
    needed = {
        file.name: file.is_file(),
        f"weights ({' or '.join(_WEIGHTS)})": any(
            (folder / weights).is_file() for weights in _WEIGHTS
        ),
        "processor_config.json": (folder / "processor_config.json").is_file(),
    }
    try:
        fields = json.loads(file.read_text("utf-8")) if needed[file.name] else {}
    except ValueError as error:
        raise ValueError(
            f"{file} is not valid JSON ({error}); save the model anew"
        ) from error
    model_type = fields.get("model_type") if isinstance(fields, dict) else None
    if needed[file.name] and model_type not in KINDS:
        raise ValueError(
            f"{folder} holds a model of type {model_type!r}, accepted are "
            f"{' and '.join(map(repr, KINDS))}; give the folder of such a model"
        )
    for what, is_there in needed.items():
        if not is_there:
            raise ValueError(
                f"{folder} has no {what}; give a folder that save_pretrained of the "
                "model and of its processor wrote, whole"
            )


def _check_keys(source: str, info: dict[str, Any]) -> None:
    """Refuse weights that do not fill the model exactly."""
    problems = {
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "of another shape": sorted(key for key, *_ in info["mismatched_keys"]),
    }
    found = [
        f"{len(keys)} {problem} ({', '.join(keys[:_SHOWN_KEYS])}"
        f"{', ..' if len(keys) > _SHOWN_KEYS else ''})"
        for problem, keys in problems.items()
        if keys
    ]
    if found:
        raise ValueError(
            f"the weights in {source} do not fit its config.json: {'; '.join(found)}; "
            "use the config.json that was saved with them"
        )


def _check_vocabulary(
    source: str,
    model: VideoLanguageModel,
    processor: VideoProcessor,
) -> None:
    config = model.config
    pairs = (
        ("text_config", len(processor.tokenizer), config.text_config.vocab_size),
        (
            "qformer_config",
            len(processor.qformer_tokenizer),
            config.qformer_config.vocab_size,
        ),
    )
    for part, num_entries, vocab_size in pairs:
        if num_entries > vocab_size:
            raise ValueError(
                f"the tokenizer in {source} has {num_entries} entries, {part} only "
                f"{vocab_size}; save the tokenizer that belongs to the model"
            )
    if config.video_token_id != processor.video_token_id:
        raise ValueError(
            f"video_token_id is {config.video_token_id} in {source}, but its tokenizer "
            f"has <video> at {processor.video_token_id}; save both from one model"
        )
    facts = (config.focus_settings, config.connector_facts)
    if facts != (processor.settings, processor.connector_facts):
        raise ValueError(
            f"config.json and processor_config.json in {source} differ in their focus "
            "settings or their connector; save both from one model"
        )
