"""Where a result comes from."""

from __future__ import annotations

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
