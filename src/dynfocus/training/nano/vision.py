"""Teach the nano vision tower to see FocusWorld: dense labels on rendered pictures.

The paper starts from EVA-CLIP, which exists already. Nano has no such ancestor, so its
tower learns from scratch to say what each patch shows; afterwards it stays frozen, as
in the paper.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import InstructBlipVisionConfig, InstructBlipVisionModel

from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.validation import Count, checked
from dynfocus.world.scene import Split
from dynfocus.world.snapshots import IGNORED, NUM_CLASSES, make_snapshot
from dynfocus.world.vocabulary import BASE_PIXELS
from dynfocus.world.wide.snapshots import make_wide_snapshot

PIXEL_MEAN = (0.5, 0.5, 0.5)
PIXEL_STD = (0.25, 0.25, 0.25)
NUM_START_PICTURES = 512
"""Pictures whose patches the embedding starts from."""
NUM_SCALE_PICTURES = 256
"""Pictures on which the scale of a trained tower is measured."""


@checked
class VisionData:
    """Rendered pictures with a label a patch."""

    wide: bool = False
    """Whether the pictures are of the widened world."""
    size: Count = BASE_PIXELS
    """Side of the pictures in pixels, a multiple of 14; 112 in the narrow world."""
    num_samples: Count | None = None
    """Different pictures; as many as the schedule asks for by default."""
    num_eval_pictures: Count = 2048
    """Unseen pictures that the result is measured on."""


_NARROW = VisionData()


@checked
class VisionRecipe(Recipe):
    """A run of task ``vision``: a tower from nothing."""

    task: Literal["vision"]
    """The name of the task."""
    data: VisionData = VisionData()
    """What it learns from."""


class SnapshotDataset(Dataset[dict[str, Tensor]]):
    """Labelled pictures drawn on demand, the same for the same seed and number.

    Args:
        seed: Start of the random stream.
        num_samples: Pictures in one pass.
        patch_pixels: Side of a patch.
        allow_held_out: Whether combinations kept out of training may occur.
        data: Of which world and size they are.
    """

    def __init__(
        self,
        seed: int,
        num_samples: int,
        patch_pixels: int = 14,
        *,
        allow_held_out: bool = False,
        data: VisionData = _NARROW,
    ) -> None:
        self.seed = seed
        self.num_samples = num_samples
        self.patch_pixels = patch_pixels
        self.allow_held_out = allow_held_out
        self.data = data

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([7, self.seed, number])
        if self.data.wide:
            split: Split = "test" if self.allow_held_out else "train"
            size = self.data.size
            snapshot = make_wide_snapshot(rng, size, self.patch_pixels, split)
        else:
            snapshot = make_snapshot(
                rng, self.patch_pixels, allow_held_out=self.allow_held_out
            )
        sample = {k: torch.from_numpy(v) for k, v in snapshot.labels.items()}
        sample["pixel_values"] = torch.from_numpy(snapshot.picture)
        sample["number"] = torch.tensor(number)
        return sample


def normalise_pixels(pictures: Tensor) -> Tensor:
    """Turn uint8 ``[..., H, W, 3]`` into the tower's input ``[..., 3, H, W]``."""
    values = pictures.movedim(-1, -3).float() / 255.0
    mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
    std = torch.tensor(PIXEL_STD).view(3, 1, 1)
    return (values - mean.to(values.device)) / std.to(values.device)


def disturb_pixels(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, tint and add noise a little, each picture differently, as a codec would.

    Args:
        pictures: RGB, uint8, shape ``[B, H, W, 3]``.
        generator: Source of strengths and noise.

    Returns:
        RGB, uint8, same shape.
    """
    count = len(pictures)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    values = pictures.float()
    blur = (draw(count, 1, 1, 1) * 0.5 - 0.25).clamp(min=0)
    for dim in (1, 2):
        near = values.roll(1, dim) + values.roll(-1, dim)
        values = torch.lerp(values, near / 2, 2 * blur)
    grey = values.mean(3, keepdim=True)
    chroma = functional.avg_pool2d((values - grey).movedim(3, 1), 2)
    chroma = functional.interpolate(chroma, scale_factor=2.0).movedim(1, 3)
    halved = draw(count, 1, 1, 1) < 0.5
    values = torch.where(halved, grey + chroma, values)
    values = values * (0.93 + 0.14 * draw(count, 1, 1, 1))
    noise = torch.randn(values.shape, generator=generator)
    values = values + noise * (3 * draw(count, 1, 1, 1))
    return (values + 0.5).clamp(0, 255).to(torch.uint8)


def collate_snapshots(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack samples and disturb their pictures, alike whenever they meet again."""
    batch = {name: torch.stack([s[name] for s in samples]) for name in samples[0]}
    generator = torch.Generator().manual_seed(int(batch.pop("number")[0]))
    batch["pixel_values"] = disturb_pixels(batch["pixel_values"], generator)
    return batch


class DenseVisionModel(nn.Module):
    """A vision tower with one linear read-out a task on every patch.

    The read-outs see the patches before the final norm through a norm of their own,
    because that is where the rest of the system takes them.
    """

    def __init__(self, config: InstructBlipVisionConfig) -> None:
        super().__init__()
        self.vision_tower = InstructBlipVisionModel(config)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.hidden_size, n) for name, n in NUM_CLASSES.items()}
        )
        self.place = nn.Linear(config.hidden_size, 2)
        side = config.image_size // config.patch_size
        axis = torch.linspace(-1, 1, side)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
        self.register_buffer("grid", grid.reshape(-1, 2), persistent=False)

    def forward(self, pixel_values: Tensor, **labels: Tensor) -> dict[str, Any]:
        """Predict the labels of every patch.

        Args:
            pixel_values: Pictures, uint8, shape ``[B, H, W, 3]``.
            **labels: Classes per task, shape ``[B, N]``.

        Returns:
            ``loss`` and ``logits``, one tensor ``[B, N, classes]`` a task.
        """
        hidden = self.vision_tower(
            normalise_pixels(pixel_values), output_hidden_states=True
        ).hidden_states[-1]
        patches = self.norm(hidden[:, 1:])  # [B, N, D_v]
        logits = {name: head(patches) for name, head in self.heads.items()}
        loss = 0.1 * (self.place(patches).float() - self.grid).square().mean()
        for name, target in labels.items():
            loss = loss + functional.cross_entropy(
                logits[name].float().flatten(0, 1),
                target.flatten(),
                ignore_index=IGNORED,
            )
        return {"loss": loss, "logits": logits}


@torch.no_grad()
def whiten_patch_embedding(
    tower: InstructBlipVisionModel,
    seed: int,
    num_pictures: int | None = None,
    data: VisionData = _NARROW,
) -> None:
    """Start the patch embedding as the whitened principal components of patches.

    Raw patches are mostly their mean colour; strokes of a letter are faint in them. The
    whitened start gives each component unit variance, so learning does not have to.
    """
    embedding = tower.embeddings.patch_embedding
    width, _, side, _ = embedding.weight.shape
    count = num_pictures or NUM_START_PICTURES
    drawn = SnapshotDataset(seed + 1_000_003, count, side, data=data)
    pictures = torch.stack([drawn[i]["pixel_values"] for i in range(count)])
    pixels = normalise_pixels(pictures)
    patches = functional.unfold(pixels, side, stride=side)  # [B, 3 side^2, N]
    patches = patches.movedim(1, 2).flatten(0, 1).double()
    mean = patches.mean(0)
    covariance = torch.cov(patches.T)
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values[-width:], vectors[:, -width:]
    filters = (vectors / (values + 1e-3 * values.mean()).sqrt()).T  # [D_v, 3 side^2]
    embedding.weight.copy_(filters.view_as(embedding.weight))
    embedding.bias.copy_(-filters @ mean)


@torch.no_grad()
def place_patches(tower: InstructBlipVisionModel, amplitude: float = 0.6) -> None:
    """Start the position embeddings as sines and cosines of row and column.

    Neighbouring patches then have similar positions from the start, which attention
    needs to put the pieces of a letter together.
    """
    table = tower.embeddings.position_embedding  # [1, N + 1, D_v]
    num_patches, width = table.shape[1] - 1, table.shape[2]
    side = math.isqrt(num_patches)
    quarter = width // 4
    rates = torch.pi / 2 * torch.logspace(0, -3, quarter, base=2)
    place = torch.arange(num_patches)
    angles = [axis[:, None] * rates for axis in (place // side, place % side)]
    waves = [wave(angle) for angle in angles for wave in (torch.sin, torch.cos)]
    table.zero_()
    table[0, 1:, : 4 * quarter] = amplitude * torch.cat(waves, 1)


@torch.no_grad()
def unit_scale(
    tower: InstructBlipVisionModel, seed: int = 0, data: VisionData = _NARROW
) -> float:
    """Scale the residual stream of a tower so that its patches have unit deviation.

    The density of Eq. 1 is ``exp(-distance^2)``, so clustering depends on the scale of the
    features: at the deviation that training leaves, every density underflows and the spatial
    prototypes miss the objects (``docs/results/feature-scale.md``). Each block normalises
    what it reads, so scaling all that is written to the residual stream scales the hidden
    states exactly and changes nothing after the final norm.

    Args:
        tower: Changed in place.
        seed: Seed of the pictures that the scale is measured on.
        data: Of which world and size they are.

    Returns:
        The deviation before.
    """
    drawn = SnapshotDataset(
        seed + 2_000_003, NUM_SCALE_PICTURES, tower.config.patch_size, data=data
    )
    samples = [drawn[i] for i in range(len(drawn))]
    pictures = collate_snapshots(samples)["pixel_values"]
    outputs = tower(normalise_pixels(pictures), output_hidden_states=True)
    deviation = float(outputs.hidden_states[-1][:, 1:].std())
    embeddings = tower.embeddings
    written = [embeddings.class_embedding, embeddings.position_embedding]
    written += list(embeddings.patch_embedding.parameters())
    for layer in tower.encoder.layers:
        written += list(layer.self_attn.projection.parameters())
        written += list(layer.mlp.fc2.parameters())
    for parameter in written:
        parameter.div_(deviation)
    return deviation


def measure_vision(
    model: DenseVisionModel,
    num_samples: int = 2048,
    seed: int = 999_983,
    data: VisionData = _NARROW,
) -> dict[str, float]:
    """Return the share of patches labelled right, per task, on unseen pictures.

    Held-out combinations occur here as everywhere else in the test split.
    """
    drawn = SnapshotDataset(seed, num_samples, allow_held_out=True, data=data)
    right = dict.fromkeys(NUM_CLASSES, 0)
    total = dict.fromkeys(NUM_CLASSES, 0)
    model.eval()
    for start in range(0, num_samples, 64):
        samples = [drawn[i] for i in range(start, min(start + 64, num_samples))]
        batch = collate_snapshots(samples)
        with torch.inference_mode():
            logits = model(**batch)["logits"]
        for name in NUM_CLASSES:
            asked = batch[name] != IGNORED
            if name in ("shape", "colour"):
                asked &= batch["shape"] > 0
            right[name] += int((logits[name].argmax(-1) == batch[name])[asked].sum())
            total[name] += int(asked.sum())
    return {name: right[name] / max(1, total[name]) for name in NUM_CLASSES}


def default_vision_config(size: int = BASE_PIXELS) -> InstructBlipVisionConfig:
    """Return the shape of the nano vision tower, for square pictures of a size."""
    return InstructBlipVisionConfig(
        hidden_size=160,
        intermediate_size=640,
        num_hidden_layers=5,
        num_attention_heads=5,
        image_size=size,
        patch_size=14,
        initializer_range=0.02,  # the class default, 1e-10, expects loaded weights
    )


def make_vision_job(recipe: VisionRecipe) -> Job:
    """Build the job of task ``vision``: a tower from scratch on labelled pictures."""
    data = recipe.data
    model = DenseVisionModel(default_vision_config(data.size))
    num_samples = data.num_samples or recipe.schedule.num_samples()
    whiten_patch_embedding(model.vision_tower, recipe.seed, data=data)
    place_patches(model.vision_tower)
    return Job(
        model=model,
        dataset=SnapshotDataset(recipe.seed, num_samples, data=data),
        finish=partial(_finish, data=data),
        collator=collate_snapshots,
    )


def _finish(model: nn.Module, output: Path, data: VisionData) -> None:
    """Write the tower as a Hugging Face folder, and how well it sees."""
    assert isinstance(model, DenseVisionModel)
    model = model.float().cpu().eval()
    unit_scale(model.vision_tower, data=data)
    tower = output / "vision_tower"
    model.vision_tower.save_pretrained(tower)
    colours = {"image_mean": PIXEL_MEAN, "image_std": PIXEL_STD}
    (tower / "preprocessor_config.json").write_text(json.dumps(colours) + "\n")
    figures = measure_vision(model, data.num_eval_pictures, data=data)
    (output / "accuracy.json").write_text(json.dumps(figures, indent=1) + "\n")
