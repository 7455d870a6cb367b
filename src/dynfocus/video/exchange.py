"""What a confined decoder tells, as bytes that cannot run anything where they are read.

A decoder that was taken over by a file might send anything, so nothing it sends is
unpickled: a message is a line of JSON and the bytes of arrays.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynfocus.errors import UnreadableVideoError
from dynfocus.video.scaler import Orientation
from dynfocus.video.scan import FileFacts
from dynfocus.video.timeline import Timeline

_KINDS = ("bool", "uint8", "int32", "int64", "float64")


def pack(kind: str, values: dict[str, Any], **arrays: NDArray[Any]) -> bytes:
    """Write a message.

    Args:
        kind: What it is about.
        values: What JSON can hold.
        arrays: Arrays of plain numbers.
    """
    shapes = {name: [str(a.dtype), list(a.shape)] for name, a in arrays.items()}
    head = json.dumps([kind, values, shapes], default=_plain).encode()
    return b"".join([head, b"\n", *(a.tobytes() for a in arrays.values())])


def unpack(message: bytes) -> tuple[str, dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a message.

    Raises:
        UnreadableVideoError: It is none.
    """
    try:
        end = message.index(b"\n")
        kind, values, shapes = json.loads(message[:end])
        place, arrays = end + 1, {}
        for name, (dtype, shape) in shapes.items():
            if dtype not in _KINDS or min(shape, default=0) < 0:
                raise ValueError(dtype, shape)
            array = np.frombuffer(message, dtype, int(np.prod(shape)), place)
            arrays[name] = array.reshape(shape)
            place += array.nbytes
        return kind, values, arrays
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise nonsense() from error


def nonsense() -> UnreadableVideoError:
    """Make the error for what a decoder never says."""
    return UnreadableVideoError(
        "what decodes the file told nonsense; do not trust this file"
    )


def _plain(value: Any) -> Any:
    """Take the number out of a scalar of NumPy."""
    return value.item()


def pack_timeline(timeline: Timeline) -> bytes:
    """Write what opening a file taught."""
    values: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for field in fields(Timeline):
        value = getattr(timeline, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, FileFacts):
            values[field.name] = asdict(value)
        else:
            values[field.name] = value
    return pack("timeline", values, **arrays)


def read_timeline_message(
    values: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> Timeline:
    """Make the timeline that ``pack_timeline`` wrote.

    Raises:
        UnreadableVideoError: It is none.
    """
    try:
        facts = dict(values["facts"])
        facts["video_stream_numbers"] = tuple(facts["video_stream_numbers"])
        given: dict[str, Any] = {
            **values,
            **arrays,
            "facts": FileFacts(**facts),
            "orientation": Orientation(*values["orientation"]),
            "size": tuple(values["size"]),
        }
        return Timeline(**given)
    except (KeyError, TypeError) as error:
        raise nonsense() from error
