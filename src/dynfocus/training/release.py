"""Turn the end of a training run into the folder that the package ships.

python -m dynfocus.training.release runs/nano-stage20/model src/dynfocus/assets/nano
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from dynfocus.models.loading import load_parts

MAX_BYTES = 30_000_000


def release(source: str | Path, target: str | Path) -> int:
    """Write a model's weights in float16 with its processor.

    The model card and other files in the target stay as they are.

    Args:
        source: Folder of a trained model.
        target: Folder to ship.

    Returns:
        Size of the weights in bytes.

    Raises:
        ValueError: If the weights are larger than the package may ship.
    """
    model, processor = load_parts(source, device="cpu", dtype=torch.float32)
    model = model.half()
    weights = {t.data_ptr(): t.nbytes for t in model.state_dict().values()}
    size = sum(weights.values())  # a tied matrix counts once
    if size > MAX_BYTES:
        raise ValueError(
            f"the weights of {source} take {size} bytes in float16, more than the "
            f"{MAX_BYTES} that may be shipped; train a smaller model"
        )
    model.save_pretrained(target)
    processor.save_pretrained(target)
    return size


if __name__ == "__main__":
    release(*sys.argv[1:3])
