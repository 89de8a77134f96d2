"""Where webhooks may go: public addresses, and the networks that the operator names.

A name is resolved once, every address is checked, and the connection goes to the address that was checked: a name that
answers differently the second time (DNS rebinding) changes nothing. What other spellings of an address come to
(2130706433, 0x7f.1, [::ffff:127.0.0.1], NAT64) is looked at after the resolver has read them.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from fettle.errors import InvalidRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # leads wherever the site's operator wants
RESOLVE_SECONDS = 5


class Forbidden(Exception):
    """The URL leads where webhooks must not go. Its words are for the endpoint's owner."""


def embedded(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses that it stands for."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        found += [inner for inner in (address.ipv4_mapped, address.sixtofour) if inner is not None]
        found += address.teredo or ()
        if address in NAT64 or int(address) >> 32 == 0:  # ::127.0.0.1 as well
            found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found


def may_reach(address: Address, allowed: Sequence[Network]) -> bool:
    if any(address in network for network in allowed):
        return True
    return all(is_public(each) for each in embedded(address))


def is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address in LOCAL_NAT64):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def check_url(url: str, allowed: Sequence[Network]) -> None:
    """What can be said without a resolver. Raises InvalidRequest."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"The URL {url!r} is not valid: {error}.", param="url") from error
    if parts.scheme not in ("https", "http") or not host:
        raise InvalidRequest(f"The URL {url!r} must begin with 'https://' and name a host.", param="url")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidRequest("The URL must have no user name, password or fragment. Remove it.", param="url")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        literal = None
    if literal is not None and not may_reach(literal, allowed):
        raise InvalidRequest(f"Webhooks go to public addresses only, and {host} is not one. {WAY_OUT}", param="url")
    if parts.scheme == "http" and not allowed:
        raise InvalidRequest(f"The URL {url!r} must begin with 'https://'. {WAY_OUT}", param="url")


WAY_OUT = "The operator can allow private networks with FETTLE_WEBHOOK_ALLOW_NETWORKS."


async def resolve(host: str, port: int, allowed: Sequence[Network], *, plain: bool) -> str:
    """The address to connect to. plain: without TLS, for the operator's networks. Raises Forbidden, OSError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_SECONDS):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    for address in addresses:
        inside = any(address in network for network in allowed)
        if not may_reach(address, allowed) or (plain and not inside):
            raise Forbidden(f"{host} leads to an address that webhooks may not reach. {WAY_OUT}")
    if not addresses:
        raise Forbidden(f"{host} has no address.")
    return str(addresses[0])
