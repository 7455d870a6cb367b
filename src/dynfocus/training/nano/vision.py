"""Teach the nano vision tower to see FocusWorld: dense labels on rendered pictures.

The paper starts from EVA-CLIP, which exists already. Nano has no such ancestor, so its
tower, a small residual network, learns from nothing to say what each cell of its map
shows; afterwards it stays frozen, as in the paper.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import ResNetConfig, ResNetModel

from dynfocus.models.vision import encode_pixels
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.validation import Count, checked
from dynfocus.world.scene import Split
from dynfocus.world.wide.snapshots import IGNORED, NUM_CLASSES, make_wide_snapshots

PIXEL_MEAN = (0.5, 0.5, 0.5)
PIXEL_STD = (0.25, 0.25, 0.25)
PATCH_PIXELS = 16
"""Side of a cell of the tower's map."""
PICTURES_PER_SCENE = 4
"""Pictures of one scene in a sample; walls and objects are drawn once for all of them."""
NUM_SCALE_SCENES = 64
"""Scenes on which the scale of a trained tower is measured."""


@checked
class VisionData:
    """Rendered pictures with a label a patch."""

    size: Count = 128
    """Side of the pictures in pixels, a multiple of 16."""
    num_samples: Count | None = None
    """Different scenes of four pictures; as many as the schedule asks for by default."""
    num_eval_pictures: Count = 2048
    """Unseen pictures that the result is measured on."""

    def __post_init__(self) -> None:
        if self.size % PATCH_PIXELS:
            raise ValueError(
                f"data.size must be a multiple of {PATCH_PIXELS}, got {self.size}"
            )


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
        num_samples: Scenes in one pass.
        size: Side of the pictures in pixels.
        split: Only ``test`` shows combinations that training never does.
        pictures_per_scene: Pictures in a sample.
    """

    def __init__(
        self,
        seed: int,
        num_samples: int,
        size: int = VisionData.size,
        split: Split = "train",
        pictures_per_scene: int = PICTURES_PER_SCENE,
    ) -> None:
        self.seed = seed
        self.num_samples = num_samples
        self.size = size
        self.split: Split = split
        self.pictures_per_scene = pictures_per_scene

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([7, self.seed, number])
        snapshots = list(
            make_wide_snapshots(
                rng, self.pictures_per_scene, self.size, PATCH_PIXELS, self.split
            )
        )
        sample = {
            name: torch.from_numpy(np.stack([s.labels[name] for s in snapshots]))
            for name in NUM_CLASSES
        }
        pictures = np.stack([s.picture for s in snapshots])
        return {"pixel_values": torch.from_numpy(pictures), **sample}


def normalise_pixels(pictures: Tensor) -> Tensor:
    """Turn uint8 ``[..., H, W, 3]`` into the tower's input ``[..., 3, H, W]``."""
    values = pictures.movedim(-1, -3).float() / 255.0
    mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
    std = torch.tensor(PIXEL_STD).view(3, 1, 1)
    return (values - mean.to(values.device)) / std.to(values.device)


def collate_snapshots(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Put the pictures of all scenes into one batch."""
    return {name: torch.cat([s[name] for s in samples]) for name in samples[0]}


class DenseVisionModel(nn.Module):
    """A vision tower with one linear read-out a task on every patch.

    The read-outs see the patches where the rest of the system takes them, through a norm
    of their own.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.vision_tower = ResNetModel(config)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.hidden_size, n) for name, n in NUM_CLASSES.items()}
        )
        self.place = nn.Linear(config.hidden_size, 2)
        axis = torch.linspace(-1, 1, config.image_size // config.patch_size)
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
        pixels = normalise_pixels(pixel_values)
        patches = self.norm(encode_pixels(self.vision_tower, pixels).content)
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
def unit_scale(tower: ResNetModel) -> float:
    """Scale the last stage of a tower so that its patches have unit deviation.

    The density of Eq. 1 is ``exp(-distance^2)``, so clustering depends on the scale of the
    features: at the deviation that training leaves, every density underflows and the spatial
    prototypes miss the objects (``docs/results/feature-scale.md``). A rectifier keeps
    factors, so scaling all that is added in the last stage, and undoing it where a block
    reads, changes the map by a factor and nothing else.

    Args:
        tower: Changed in place.

    Returns:
        The deviation before.
    """
    tower.eval()
    drawn = SnapshotDataset(2_000_003, NUM_SCALE_SCENES, tower.config.image_size)
    pictures = torch.cat([drawn[i]["pixel_values"] for i in range(len(drawn))])
    deviation = float(encode_pixels(tower, normalise_pixels(pictures)).content.std())
    for block in tower.encoder.stages[-1].layers:
        written = [block.layer[-1].normalization]
        if isinstance(block.shortcut, nn.Identity):
            block.layer[0].convolution.weight.mul_(deviation)
        else:
            written.append(block.shortcut.normalization)
        for norm in written:
            norm.weight.div_(deviation)
            norm.bias.div_(deviation)
    return deviation


def measure_vision(
    model: DenseVisionModel,
    num_pictures: int = 2048,
    seed: int = 999_983,
    size: int = 128,
) -> dict[str, float]:
    """Return the share of patches labelled right, per task, on unseen pictures.

    Held-out combinations occur here as everywhere else in the test split.
    """
    drawn = SnapshotDataset(seed, num_pictures, size, "test", pictures_per_scene=1)
    right = dict.fromkeys(NUM_CLASSES, 0)
    total = dict.fromkeys(NUM_CLASSES, 0)
    model.eval()
    for start in range(0, num_pictures, 64):
        end = min(start + 64, num_pictures)
        batch = collate_snapshots([drawn[i] for i in range(start, end)])
        with torch.inference_mode():
            logits = model(**batch)["logits"]
        for name in NUM_CLASSES:
            asked = batch[name] != IGNORED
            if name in ("shape", "colour"):
                asked &= batch["shape"] > 0
            right[name] += int((logits[name].argmax(-1) == batch[name])[asked].sum())
            total[name] += int(asked.sum())
    return {name: right[name] / max(1, total[name]) for name in NUM_CLASSES}


def default_vision_config(size: int = VisionData.size) -> ResNetConfig:
    """Return the shape of the nano vision tower, for square pictures of a size."""
    return ResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 96, 160],
        depths=[1, 2, 3],
        layer_type="basic",
        hidden_size=160,
        image_size=size,
        patch_size=PATCH_PIXELS,
    )


def make_vision_job(recipe: VisionRecipe) -> Job:
    """Build the job of task ``vision``: a tower from scratch on labelled pictures."""
    data = recipe.data
    num_samples = data.num_samples or recipe.schedule.num_samples()
    return Job(
        model=DenseVisionModel(default_vision_config(data.size)),
        dataset=SnapshotDataset(recipe.seed, num_samples, data.size),
        finish=partial(_finish, data=data),
        collator=collate_snapshots,
    )


def _finish(model: nn.Module, output: Path, data: VisionData) -> None:
    """Write the tower as a Hugging Face folder, and how well it sees."""
    assert isinstance(model, DenseVisionModel)
    model = model.float().cpu().eval()
    unit_scale(model.vision_tower)
    tower = output / "vision_tower"
    model.vision_tower.save_pretrained(tower)
    colours = {"image_mean": PIXEL_MEAN, "image_std": PIXEL_STD}
    (tower / "preprocessor_config.json").write_text(json.dumps(colours) + "\n")
    figures = measure_vision(model, data.num_eval_pictures, size=data.size)
    (output / "accuracy.json").write_text(json.dumps(figures, indent=1) + "\n")
