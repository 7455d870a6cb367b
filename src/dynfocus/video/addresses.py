"""Names of files that are addresses of the web, and how they are shown.

A module of its own, since files and the fetcher both need it.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_EATEN = re.compile(r"(https?):/(?=[^/])", re.IGNORECASE)

# What S3 and Google Cloud Storage sign an address with.
_SIGNED = re.compile(r"(?<=[?&])x-(?:amz|goog)-[^=&]*=[^&]*&?", re.IGNORECASE)


def scheme_of(name: str) -> str | None:
    """Tell what an address begins with, such as ``https``; None for other names."""
    found = _ADDRESS.match(name)
    return None if found is None else found[1].lower()


def is_web_address(name: str) -> bool:
    """Tell whether a name is an address of http or https."""
    return scheme_of(name) in ("http", "https")


def restore_address(path: str) -> str:
    """Give an address back the slash that a path eats."""
    return _EATEN.sub(r"\1://", path, count=1)


def unsigned(address: str) -> str:
    """Leave out what changes whenever an address is signed, and the mark of a place."""
    return _SIGNED.sub("", address.partition("#")[0]).rstrip("?&")


def show_address(name: str) -> str:
    """Write a name without secrets: of an address neither the log-in nor the query.

    Args:
        name: An address, of any kind; the name of a file stays as it is.
    """
    if scheme_of(name) is None:
        return name
    scheme, rest = name.split("://", 1)
    place, mark, _ = rest.partition("#")[0].partition("?")
    host, slash, path = place.partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return f"{shown}?..." if mark else shown
