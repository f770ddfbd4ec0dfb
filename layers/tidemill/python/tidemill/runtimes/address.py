"""Which addresses a request may go to where it must not reach what only the caller can reach.

A definition's URL is data, and whoever can change it could otherwise have AWS ask its own metadata service for
credentials, or a database beside it. So a host name is resolved once, each of its addresses is looked at, and the
connection is made to the very address that was: a name that answers differently the second time gains nothing.

An IPv6 address can carry an IPv4 one and mean it: of a mapped one, and of NAT64's, the one within is looked at; the old
tunnels (6to4, Teredo) are refused.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence

Resolve = Callable[[str, int], Sequence[str]]  # the addresses of a host, as text

_NAT64 = 0x0064_FF9B << 64  # the prefix 64:ff9b::/96, without the address that it carries


def resolve(host: str, port: int) -> list[str]:
    """What the system says; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def within(seconds: float, ask: Resolve, host: str, port: int) -> Sequence[str]:
    """The addresses, or TimeoutError: the system's resolver keeps no time of ours."""
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
        elif ip.sixtofour is not None or ip.teredo is not None:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback)
