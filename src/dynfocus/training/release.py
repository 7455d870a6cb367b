"""Turn the end of a training run into the folder that the package ships.

python -m dynfocus.training.release FOLDER [FOLDER ..] TARGET
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from dynfocus.models.loading import load_parts

MAX_BYTES = 30_000_000


def release(sources: Sequence[str | Path], target: str | Path) -> int:
    """Write a model's weights in float16 with its processor.

    Of several models, which must be lessons of one course, the mean of the weights is
    written: it answers at least about as well as the best of them (model soups,
    Wortsman et al. 2022). The model card and other files in the target stay as they are.

    Args:
        sources: Folders of trained models.
        target: Folder to ship.

    Returns:
        Size of the weights in bytes.

    Raises:
        ValueError: If there is no source, if the models have other settings or other
            weights than the last, or if the weights are larger than the package may ship.
    """
    if not sources:
        raise ValueError("name at least one folder of a trained model")
    models = [load_parts(s, device="cpu", dtype=torch.float32) for s in sources]
    model, processor = models[-1]
    states = [other.state_dict() for other, _ in models]
    for source, (other, _), state in zip(sources, models, states, strict=True):
        if other.settings != model.settings or set(state) != set(states[-1]):
            raise ValueError(
                f"{source} is another model than {sources[-1]}; only lessons of one "
                "course with the same settings can be averaged"
            )
    model.load_state_dict(
        {name: torch.stack([s[name] for s in states]).mean(0) for name in states[-1]}
    )
    model = model.half()
    weights = {t.data_ptr(): t.nbytes for t in model.state_dict().values()}
    size = sum(weights.values())  # a tied matrix counts once
    if size > MAX_BYTES:
        raise ValueError(
            f"the weights of {sources[-1]} take {size} bytes in float16, more than the "
            f"{MAX_BYTES} that may be shipped; train a smaller model"
        )
    model.save_pretrained(target)
    processor.save_pretrained(target)
    return size


if __name__ == "__main__":
    release(sys.argv[1:-1], sys.argv[-1])
