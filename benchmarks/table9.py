"""Measure what the paper's Table 9 and Table 10 measure, with random weights at true size.

    python benchmarks/table9.py

Table 9: time, FLOPs and parameters of S-DPC, dynamic encoding, T-DPC and dynamic selection
on 1000 frames. Table 10: seconds of a whole answer, stage by stage, beside LLaMA-VID's way.
The tower and the language model may be given fewer layers, where memory or time demand it;
their seconds are then multiplied, and the page says so. With --clock core, one thread works and
its own seconds count, whatever else the machine does. Writes docs/results/table9.md and .json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from table9_page import write_page
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    InstructBlipQFormerConfig,
    InstructBlipQFormerModel,
    InstructBlipVisionConfig,
    InstructBlipVisionModel,
    LlamaConfig,
    LlamaModel,
)

from dynfocus.focus import (
    FocusBudget,
    FocusNetwork,
    FocusSettings,
    VideoFeatures,
)
from dynfocus.methods.connectors import ConnectorSizes, build_connector
from dynfocus.models.video_language_model import CACHE_NAME
from dynfocus.models.vision import encode_pixels
from dynfocus.provenance import processor_name, source_commit

CONNECTOR = ("S-DPC", "T-DPC", "dynamic selection", "dynamic encoding", "connector")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes of the model; the paper's by default."""

    dim: int = 1408
    image_size: int = 224
    tower_mlp: int = 6144
    tower_heads: int = 16
    tower_layers: int = 39
    text_dim: int = 768
    text_layers: int = 12
    num_queries: int = 32
    num_question_tokens: int = 20
    hidden_size: int = 4096
    language_mlp: int = 11008
    language_heads: int = 32
    language_layers: int = 32
    num_new_tokens: int = 32
    window: int = 64

    @property
    def num_patches(self) -> int:
        """Patches of a frame."""
        return (self.image_size // 14) ** 2


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how to measure."""

    device: str
    dtype: torch.dtype
    repeats: int
    built_tower_layers: int
    built_language_layers: int
    clock: str = "wall"

    def draw(self, *shape: int) -> Tensor:
        """Draw random features."""
        return torch.randn(shape, device=self.device, dtype=self.dtype)

    def place(self, module: Any) -> Any:
        """Put a module where it is measured."""
        return module.to(self.device, self.dtype).eval()

    @torch.inference_mode()
    def seconds(self, work: Callable[[], Any]) -> float:
        """Give the median time of a piece of work; call it once before."""
        now = time.process_time if self.clock == "core" else time.perf_counter
        times = []
        for _ in range(self.repeats):
            self._wait()
            start = now()
            work()
            self._wait()
            times.append(now() - start)
        return statistics.median(times)

    @torch.inference_mode()
    def gflops(self, work: Callable[[], Any]) -> float:
        """Count the FLOPs of matrix products, two a multiply-add, in thousand millions."""
        with FlopCounterMode(display=False) as counter:
            work()
        return float(counter.get_total_flops() / 1e9)

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def describe(self) -> str:
        """Name the hardware."""
        if self.device.startswith("cuda"):
            return torch.cuda.get_device_name(self.device)
        return f"{processor_name()}, {torch.get_num_threads()} threads"


class Network:
    """The dynamic cooperative network on random features of a video."""

    def __init__(self, sizes: Sizes, machine: Machine, num_frames: int) -> None:
        settings = FocusSettings.paper()
        self.sizes, self.machine = sizes, machine
        network = machine.place(
            FocusNetwork(settings, sizes.dim, sizes.text_dim, sizes.hidden_size)
        )
        self.events = network.event_prototypes
        self.spatial = network.spatial_prototypes
        self.encoding = network.cooperative_encoding
        self.num_frames = num_frames
        self.num_cones = settings.num_cones_for(num_frames)
        self.mask = torch.ones(1, num_frames, dtype=torch.bool, device=machine.device)
        window = min(num_frames, sizes.window)
        self.patches = machine.draw(window, sizes.num_patches, sizes.dim)
        tokens = settings.num_event_tokens, settings.num_spatial_tokens
        self.pooled = machine.draw(1, num_frames, tokens[0], sizes.dim)
        self.grid = machine.draw(1, num_frames, tokens[1], sizes.dim)
        self.text = machine.draw(1, sizes.num_question_tokens, sizes.text_dim)
        with torch.inference_mode():
            self.prototypes = self.events.estimate(self.pooled, self.mask)
            self.selection = self.select()

    def cluster_patches(self) -> None:
        """Run S-DPC window by window, as the model does."""
        left = self.num_frames
        while left > 0:
            self.spatial(self.patches[:left])
            left -= len(self.patches)

    def select(self) -> Any:
        """Score the prototypes and keep the best."""
        scores = self.events.score(self.prototypes)
        return self.events.select(self.prototypes, scores, [self.num_cones])

    def work(self) -> dict[str, tuple[Callable[[], Any], Any]]:
        """Name each module of Table 9: what to run, and whose parameters count."""
        return {
            "S-DPC": (self.cluster_patches, self.spatial),
            "dynamic encoding": (
                lambda: self.encoding(self.grid, self.mask, self.selection, self.text),
                self.encoding,
            ),
            "T-DPC": (lambda: self.events.estimate(self.pooled, self.mask), None),
            "dynamic selection": (self.select, self.events.score_network),
        }


def measure_modules(
    sizes: Sizes, machine: Machine, num_frames: int
) -> dict[str, dict[str, float]]:
    """Measure the modules of Table 9."""
    rows = {}
    for name, (work, owner) in Network(sizes, machine, num_frames).work().items():
        parameters = sum(p.numel() for p in owner.parameters()) if owner else 0
        rows[name] = {
            "gflops": machine.gflops(work),  # also the first call, which is slower
            "million_parameters": parameters / 1e6,
            "milliseconds": 1000 * machine.seconds(work),
        }
    return rows


class Reader:
    """Tower, Q-Former and language model with random weights, perhaps of fewer layers."""

    def __init__(self, sizes: Sizes, machine: Machine) -> None:
        self.sizes, self.machine = sizes, machine
        tower = InstructBlipVisionConfig(
            hidden_size=sizes.dim,
            intermediate_size=sizes.tower_mlp,
            num_attention_heads=sizes.tower_heads,
            image_size=sizes.image_size,
            num_hidden_layers=machine.built_tower_layers,
        )
        qformer = InstructBlipQFormerConfig(
            hidden_size=sizes.text_dim,
            intermediate_size=4 * sizes.text_dim,
            num_hidden_layers=sizes.text_layers,
            encoder_hidden_size=sizes.dim,
            vocab_size=30523,
        )
        language = LlamaConfig(
            hidden_size=sizes.hidden_size,
            intermediate_size=sizes.language_mlp,
            num_attention_heads=sizes.language_heads,
            num_hidden_layers=machine.built_language_layers,
            vocab_size=64,
        )
        torch.set_default_dtype(machine.dtype)
        try:
            self.tower = machine.place(InstructBlipVisionModel(tower))
            self.qformer = machine.place(InstructBlipQFormerModel(qformer))
            self.language = machine.place(LlamaModel(language))
        finally:
            torch.set_default_dtype(torch.float32)
        count = sizes.num_question_tokens
        self.words = torch.zeros(1, count, dtype=torch.long, device=machine.device)

    def look(self, num_frames: int) -> float:
        """Give the seconds of the tower: one window, times as many as there are."""
        size = self.sizes.image_size
        window = min(num_frames, self.sizes.window)
        pixels = self.machine.draw(window, 3, size, size)
        depth = self.sizes.tower_layers / self.machine.built_tower_layers
        once = self._timed(lambda: encode_pixels(self.tower, pixels))
        return once * depth * num_frames / window

    def read_question(self) -> float:
        """Give the seconds of reading the question alone."""
        return self._timed(lambda: self.qformer(input_ids=self.words))

    def ask_every_frame(self, num_frames: int) -> float:
        """Give the seconds of LLaMA-VID's queries, which look at every frame."""
        sizes, window = self.sizes, min(num_frames, self.sizes.window)
        queries = self.machine.draw(window, sizes.num_queries, sizes.text_dim)
        seen = self.machine.draw(window, sizes.num_patches + 1, sizes.dim)
        words = self.words.expand(window, -1)
        once = self._timed(
            lambda: self.qformer(
                input_ids=words, query_embeds=queries, encoder_hidden_states=seen
            )
        )
        return once * num_frames / window

    def answer(self, num_tokens: int) -> tuple[float, float]:
        """Give the seconds of reading the prompt and of writing the answer."""
        draw, width = self.machine.draw, self.sizes.hidden_size
        prompt = draw(1, num_tokens + self.sizes.num_question_tokens, width)
        depth = self.sizes.language_layers / self.machine.built_language_layers
        with torch.inference_mode():
            cache = self.language(inputs_embeds=prompt)[CACHE_NAME]  # warms up too
        prefill = self.machine.seconds(lambda: self.language(inputs_embeds=prompt))
        word = draw(1, 1, width)
        step = self._timed(
            lambda: self.language(inputs_embeds=word, **{CACHE_NAME: cache})
        )
        return prefill * depth, step * depth * self.sizes.num_new_tokens

    def _timed(self, work: Callable[[], Any]) -> float:
        with torch.inference_mode():
            work()
        return self.machine.seconds(work)


def measure_answers(
    sizes: Sizes, machine: Machine, lengths: list[int]
) -> list[dict[str, Any]]:
    """Measure whole answers, stage by stage, in both ways."""
    reader, rows = Reader(sizes, machine), []
    for num_frames in lengths:
        seen = reader.look(num_frames)
        modules = measure_modules(sizes, machine, num_frames)
        stages = {"vision tower": seen, "question": reader.read_question()}
        stages |= {name: row["milliseconds"] / 1000 for name, row in modules.items()}
        tokens = FocusBudget(settings=FocusSettings.paper()).num_tokens(num_frames)
        stages["prompt"], stages["writing"] = reader.answer(tokens)
        rows.append(_row("DynFocus", num_frames, tokens, stages))
        stages = {
            "vision tower": seen,
            "question": reader.ask_every_frame(num_frames),
            "connector": _llama_vid(sizes, machine, num_frames),
        }
        stages["prompt"], stages["writing"] = reader.answer(2 * num_frames)
        rows.append(_row("LLaMA-VID's way", num_frames, 2 * num_frames, stages))
    return rows


def _row(
    way: str, frames: int, tokens: int, stages: dict[str, float]
) -> dict[str, Any]:
    total = sum(stages.values())
    connector = sum(seconds for name, seconds in stages.items() if name in CONNECTOR)
    return {
        "way": way,
        "frames": frames,
        "video_tokens": tokens,
        "seconds": total,
        "connector_share": connector / total,
        "stages": stages,
    }


def _llama_vid(sizes: Sizes, machine: Machine, num_frames: int) -> float:
    """Give the seconds of LLaMA-VID's two tokens a frame, over one window."""
    window = min(num_frames, sizes.window)
    connector = machine.place(
        build_connector(
            "llama_vid",
            ConnectorSizes(
                num_patches=sizes.num_patches,
                dim=sizes.dim,
                text_dim=sizes.text_dim,
                hidden_size=sizes.hidden_size,
            ),
        )
    )
    video = VideoFeatures(
        spatial=machine.draw(window, sizes.num_patches, sizes.dim),
        pts_seconds=torch.arange(float(window)),
    )
    text = machine.draw(1, sizes.num_queries, sizes.text_dim)
    mask = torch.ones(1, sizes.num_queries, dtype=torch.bool, device=machine.device)
    with torch.inference_mode():
        connector([video], text, mask)
    once = machine.seconds(lambda: connector([video], text, mask))
    return once * num_frames / window


def run(
    sizes: Sizes,
    machine: Machine,
    num_frames: int,
    lengths: list[int],
    *,
    command: str = "python benchmarks/table9.py",
    note: str = "",
) -> dict[str, Any]:
    """Measure both tables."""
    torch.manual_seed(0)
    return {
        "command": command,
        "note": note,
        "commit": source_commit(),
        "device": machine.describe(),
        "clock": machine.clock,
        "dtype": str(machine.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "sizes": asdict(sizes),
        "built_tower_layers": machine.built_tower_layers,
        "built_language_layers": machine.built_language_layers,
        "num_frames": num_frames,
        "num_prototypes": FocusSettings.paper().num_prototypes_for(num_frames),
        "table_9": measure_modules(sizes, machine, num_frames),
        "table_10": measure_answers(sizes, machine, lengths) if lengths else [],
    }


def main(arguments: list[str] | None = None) -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser(description="Tables 9 and 10 of the paper.")
    cuda = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--dtype", default="bfloat16" if cuda else "float32")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--lengths", type=int, nargs="*", default=[10, 180, 1000])
    parser.add_argument("--repeats", type=int, default=10 if cuda else 3)
    parser.add_argument("--built-tower-layers", type=int)
    parser.add_argument("--built-language-layers", type=int)
    parser.add_argument("--clock", choices=("wall", "core"), default="wall")
    parser.add_argument("--note", default="", help="A sentence on the machine.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "docs" / "results"
    )
    for field in fields(Sizes):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=int, default=field.default)
    given = parser.parse_args(arguments)
    sizes = Sizes(**{field.name: getattr(given, field.name) for field in fields(Sizes)})
    if given.clock == "core":
        if given.device != "cpu":
            parser.error(f"--clock core needs --device cpu, got {given.device}")
        torch.set_num_threads(1)
    machine = Machine(
        device=given.device,
        dtype=getattr(torch, given.dtype),
        repeats=given.repeats,
        built_tower_layers=given.built_tower_layers or sizes.tower_layers,
        built_language_layers=given.built_language_layers or sizes.language_layers,
        clock=given.clock,
    )
    result = run(
        sizes,
        machine,
        given.frames,
        given.lengths,
        command=_command(parser, given),
        note=given.note,
    )
    print(write_page(result, given.out))  # noqa: T201 a script's output


def _command(parser: argparse.ArgumentParser, given: argparse.Namespace) -> str:
    """Write the call down with what was changed in it."""
    words = ["python benchmarks/table9.py"]
    for name, value in vars(given).items():
        if value != parser.get_default(name) and name not in ("note", "out"):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return " ".join(words)


if __name__ == "__main__":
    main()
