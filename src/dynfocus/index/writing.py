"""Tensors become a file, whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

PART_SUFFIX = ".part"


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], header: dict[str, str]
) -> None:
    """Write a safetensors file; an interrupted write leaves no file of that name.

    Several processes may write the same file at once: the last one's stays.

    Args:
        path: The file; replaced if it exists.
        tensors: What to write, on any device.
        header: What stands in front of them.
    """
    path = Path(path)
    whole = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex}{PART_SUFFIX}")
    try:
        save_file(whole, part, metadata=header)
        _flush(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Bring a file onto the disk, so that a power cut cannot leave a hollow one."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
