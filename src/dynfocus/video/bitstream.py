"""What the packets of a codec say themselves, where no library tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_HEVC_SEQUENCE_PARAMETERS = 33
# Kinds of units that hold parameter sets, and the first of those that hold no picture.
_PARAMETER_SETS = {"h264": {7, 8}, "hevc": {32, 33, 34}}
_FIRST_OTHER_UNIT = {"h264": 6, "hevc": 32}
_X264_NAME = re.compile(rb"x264 - core (\d+)")
_X264_WITHOUT_FAULT = 151
_NUM_NAME_BYTES = 4096


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


def shows_picture(codec_name: str, packet: Any) -> bool:
    """Tell whether a packet gives a picture that is displayed.

    VP8 and VP9 hold pictures that only feed later ones, often in packets of their own.
    """
    if codec_name not in ("vp8", "vp9"):
        return True
    data = memoryview(packet)
    if codec_name == "vp8":
        return bool(data[0] & 0x10)  # RFC 6386, 9.1
    # The uncompressed header of VP9 (6.2): marker, profile, whether a frame is shown
    # again, kind, whether it is shown. A superframe ends with its index (Annex B).
    is_superframe = data[-1] & 0xE0 == 0xC0
    start = 5 if data[0] & 0x30 == 0x30 else 4
    shows_again, is_shown = (data[0] << start + bit & 0x80 for bit in (0, 2))
    return bool(is_superframe or shows_again or is_shown)


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


def comes_from_old_encoder(context: Any, first_packet: Any) -> bool:
    """Tell whether an x264 of before 2017 wrote 4:4:4, with a fault in it.

    Decoders that have read the encoder's name in the first packet undo the fault.
    """
    if context.name != "h264" or not (context.pix_fmt or "").startswith("yuv444"):
        return False
    name = _X264_NAME.search(bytes(memoryview(first_packet)[:_NUM_NAME_BYTES]))
    return name is not None and int(name[1]) < _X264_WITHOUT_FAULT


def carries_parameter_sets(codec_name: str, extradata: bytes, packet: Any) -> bool:
    """Tell whether a packet of H.264 or HEVC holds parameter sets before its picture."""
    wanted = _PARAMETER_SETS.get(codec_name)
    if wanted is None:
        return False
    for header in _unit_headers(codec_name, extradata, memoryview(packet)):
        kind = header & 31 if codec_name == "h264" else header >> 1 & 63
        if kind in wanted:
            return True
        if 0 < kind < _FIRST_OTHER_UNIT[codec_name]:
            return False
    return False


def _unit_headers(codec_name: str, extradata: bytes, data: memoryview) -> Iterator[int]:
    """Yield the first byte of each unit, after lengths or after start codes."""
    is_record = bool(extradata) and extradata[0] == 1
    if is_record:
        place = 4 if codec_name == "h264" else 21
        size = (extradata[place] & 3) + 1 if len(extradata) > place else 4
        start = 0
        while start + size < len(data):
            yield data[start + size]
            start += size + int.from_bytes(data[start : start + size], "big")
        return
    head = bytes(data[:_NUM_NAME_BYTES])
    start = head.find(b"\0\0\1")
    while 0 <= start < len(head) - 3:
        yield head[start + 3]
        start = head.find(b"\0\0\1", start + 3)
