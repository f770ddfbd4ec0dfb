"""Refuses requests to private addresses, which only the caller can reach (protection against SSRF).

A definition's URL is data, and its author could otherwise have AWS ask its own metadata service for
credentials, or a database beside it. So a host name is resolved once, each of its addresses is checked, and the
connection uses a checked address: a name that answers differently the second time gains nothing.

An IPv6 address can contain an IPv4 address: for mapped and NAT64 addresses the inner one is checked; the old tunnels
(6to4, Teredo, ISATAP) are refused.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    Network = IPv4Network | IPv6Network

Resolve = Callable[[str, int], Sequence[str]]  # the addresses of a host, as text

# Special-purpose addresses by IANA's registries that `is_global` of some Python calls global (3.11 the most).
SPECIAL = (
    *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
    *("192.88.99.0/24", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
    *("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32"),
    *("2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10"),
)

# Metadata services that give out credentials. Most are in the ranges above; some look like any other address.
METADATA = (
    "169.254.0.0/16",  # AWS, Google Cloud, Azure, DigitalOcean, Hetzner, IBM, OpenStack, Tencent, Vultr; ECS
    "fd00:ec2::/32",  # AWS, and the credentials of EKS pods
    "fd20:ce::254/128",  # Google Cloud
    "168.63.129.16/32",  # Azure's wire server
    "192.0.0.192/32",  # Oracle Cloud
    "fd00:c1::a9fe:a9fe/128",  # Oracle Cloud
    "100.100.100.200/32",  # Alibaba Cloud
    "fd00:42::42/128",  # Scaleway
    "192.80.8.124/32",  # Equinix Metal
)

_ISATAP, _ISATAP_BITS = 0x0000_5EFE, 0xFDFF_FFFF  # an IPv4 address in the last 32 bits of an IPv6 one
_NAT64 = 0x0064_FF9B << 64  # the prefix 64:ff9b::/96, without the address that it carries


def resolve(host: str, port: int) -> list[str]:
    """The addresses by the system's resolver; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def within(seconds: float, ask: Resolve, host: str, port: int) -> Sequence[str]:
    """The addresses, or TimeoutError: the system's resolver has no timeout."""
    answers: list[Sequence[str]] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(ask(host, port))
        except (OSError, UnicodeError) as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="tidemill-resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"the name {host} was not resolved in time")
    return answers[0]


def public(address: str) -> bool:
    """Whether this is an address of the open Internet."""
    import ipaddress

    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif int(ip) >> 32 == _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        elif ip.is_site_local or int(ip) >> 32 & _ISATAP_BITS == _ISATAP:
            return False
    if any(ip in network for network in _refused()):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback)


@cache
def _refused() -> tuple[Network, ...]:
    import ipaddress

    return tuple(ipaddress.ip_network(text) for text in (*SPECIAL, *METADATA))
