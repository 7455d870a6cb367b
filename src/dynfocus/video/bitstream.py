"""Which streams have frames that no other frame needs, and say so."""

from __future__ import annotations

from typing import Any

_HEVC_SEQUENCE_PARAMETERS = 33


def marks_unreferenced_frames(context: Any) -> bool:
    """Tell whether a decoder can leave out unreferenced frames and stay exact.

    In H.264 a picture with ``nal_ref_idc`` 0 is used by no other. In HEVC the mark
    speaks of the picture's own temporal layer only, so it may be used only where there
    is one layer. FFmpeg's other decoders keep state from frames that are left out, or
    do not know which ones to leave out.
    """
    if context.name == "h264":
        return True
    if context.name == "hevc":
        return _num_temporal_layers(context.extradata or b"") == 1
    return False


def _num_temporal_layers(extradata: bytes) -> int:
    """Read the number of temporal layers of an HEVC stream, 0 if it is unknown."""
    if len(extradata) > 22 and extradata[0] == 1:
        # The configuration record of MP4 and Matroska (ISO 14496-15, 8.3.3).
        return extradata[21] >> 3 & 7
    start = extradata.find(b"\x00\x00\x01")
    while start >= 0 and start + 5 < len(extradata):
        if extradata[start + 3] >> 1 & 63 == _HEVC_SEQUENCE_PARAMETERS:
            return (extradata[start + 5] >> 1 & 7) + 1
        start = extradata.find(b"\x00\x00\x01", start + 3)
    return 0
