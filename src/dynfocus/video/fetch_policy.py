"""What may be fetched, from where, how much and how long; apart from how it is done."""

from __future__ import annotations

import ipaddress
from typing import Literal

from dynfocus.validation import Count, Natural, Positive, checked

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


@checked
class FetchPolicy:
    """What may be fetched; the defaults suit a user who names the address."""

    schemes: tuple[Literal["http", "https"], ...] = ("http", "https")
    """How an address may begin, also one that a server redirects to."""
    hosts: tuple[str, ...] = ("*",)
    """Names of the hosts that may be asked, also when a server redirects there:
    ``*.example.org`` with all below, ``*`` for all."""
    max_bytes: Count = 32 * 2**30
    """Length of the largest file that is read."""
    connect_seconds: Positive = 10.0
    """How long its name may take to be found, and a server to accept a connection."""
    read_seconds: Positive = 30.0
    """How long it may be silent."""
    total_seconds: Positive = 6 * 3600.0
    """How long all requests for one file may take together."""
    max_redirects: Natural = 5
    """How often a request may be sent elsewhere."""
    allow_private: bool = True
    """Whether machines that are not on the public internet may be asked. Without, names
    are resolved here, at each redirect too, and exactly what was checked is connected
    to; proxies of the environment are left out, since they resolve names themselves."""

    def allows(self, host: str) -> bool:
        """Tell whether a host may be asked, by its name as an address gives it."""
        name = host.lower().rstrip(".")
        return any(
            pattern == "*"
            or name == pattern.lower()
            or (pattern.startswith("*.") and name.endswith(pattern[1:].lower()))
            for pattern in self.hosts
        )


def is_public(machine: str) -> bool:
    """Tell whether an IP address is one of the public internet.

    Args:
        machine: The address as numbers; what an IPv6 address wraps is looked at, too.
    """
    address = ipaddress.ip_address(machine.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if address not in _GLOBAL_UNICAST or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast
