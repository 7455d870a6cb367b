"""How much of a computer a file of a stranger may take.

A module of its own, since who sets limits need not import what decodes.
"""

from __future__ import annotations

from dynfocus.validation import Count, Positive, checked


@checked
class DecodeLimits:
    """What a file may be and take; the defaults suit a server of hours of film."""

    max_bytes: Count = 8 * 2**30
    """Length of the largest file that is opened."""
    max_seconds: Positive = 6 * 3600.0
    """Length of the longest video."""
    max_frames: Count = 2_000_000
    """Frames of a video, shown or not."""
    max_pixels_per_frame: Count = 4096 * 2304
    """Height times width of a picture as stored, of images too."""
    decode_seconds: Positive = 900.0
    """How long opening, or decoding what is wanted at once, may take."""
    memory_bytes: Count = 2 * 2**30
    """What the process that decodes may take beside what it has at its start."""
    max_processes: Count = 8
    """Files that are decoded at once; more wait."""
