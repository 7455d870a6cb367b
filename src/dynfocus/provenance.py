"""Where a result comes from."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path


def source_commit() -> str:
    """Return the commit of the source tree, or ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def describe_hardware() -> str:
    """Name the processor, the threads in use and the version of torch."""
    import torch

    threads = torch.get_num_threads()
    noun = "thread" if threads == 1 else "threads"
    return f"{processor_name()}, {threads} {noun}, torch {torch.__version__}"


def processor_name() -> str:
    """Name the processor as the system does, or its kind where that says nothing."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()
