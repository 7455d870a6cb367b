"""Whom a server lets in, what it takes from them, and what it fetches for them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import field

from dynfocus.validation import Count, Positive, checked
from dynfocus.video.decode_limits import DecodeLimits
from dynfocus.video.fetch_policy import FetchPolicy

KEY_VARIABLE = "DYNFOCUS_API_KEY"
_SHORTEST_KEY = 16
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@checked
class Protection:
    """Keys, names, and limits; the defaults suit a server for its own machine."""

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """Any of them lets a request in; without, every request of this machine is."""
    host_names: tuple[str, ...] = ()
    """Names that requests may call the server by, beside those of this machine and the
    interface that it listens on."""
    fetch_from: tuple[str, ...] = ()
    """Hosts whose videos are fetched, ``*.example.org`` with all below, ``*`` for all of
    the public internet; by default all on loopback, and none on another interface."""
    max_body_bytes: Count = 64 * 2**20
    """Length of the longest request but uploads; a video may be inside as base64."""
    max_upload_bytes: Count = 8 * 2**30
    """Length of the longest upload."""
    body_seconds: Positive = 30.0
    """How long a client may send nothing before its request is whole."""
    max_requests: Count = 512
    """Requests in hand at once, those that wait or stream included."""
    decoding: DecodeLimits = field(default_factory=DecodeLimits)
    """What a video may be, and take to decode."""
    logs_questions: bool = False
    """Whether the log shows what is asked."""

    def __post_init__(self) -> None:
        """Refuse keys that can be guessed."""
        if any(len(key) < _SHORTEST_KEY for key in self.api_keys):
            raise ValueError(
                f"a key must have at least {_SHORTEST_KEY} characters; make one with "
                "python -c 'import secrets; print(secrets.token_urlsafe())'"
            )

    def check_interface(self, host: str) -> None:
        """Refuse to be reached from elsewhere by everyone.

        Args:
            host: The interface to listen on.

        Raises:
            ValueError: It is not loopback, and there is no key.
        """
        if not self.api_keys and not is_loopback(host):
            raise ValueError(
                f"{host} can be reached from other machines, so a key is needed: set "
                f"{KEY_VARIABLE}, or listen on 127.0.0.1"
            )

    def known_hosts(self, host: str) -> frozenset[str]:
        """List the names that a request may call the server by.

        Args:
            host: The interface that it listens on.
        """
        own = () if host in ("0.0.0.0", "::", "") else (host,)
        return frozenset(
            name.lower() for name in (*_LOOPBACK_NAMES, *own, *self.host_names)
        )

    def fetch_policy(self, host: str) -> FetchPolicy:
        """Tell what is fetched for those who ask.

        Args:
            host: The interface that the server listens on.
        """
        hosts = self.fetch_from or (("*",) if is_loopback(host) else ())
        return FetchPolicy(
            allow_private=False,
            hosts=hosts,
            max_bytes=self.decoding.max_bytes,
            read_seconds=20.0,
            total_seconds=1800.0,
        )


def is_loopback(host: str) -> bool:
    """Tell whether an interface is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_keys(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Read the keys of the environment: one, or several with commas between."""
    given = environment.get(KEY_VARIABLE, "").split(",")
    return tuple(key.strip() for key in given if key.strip())
