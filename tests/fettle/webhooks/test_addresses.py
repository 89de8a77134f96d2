"""Webhooks reach public addresses alone, however an address is written."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from fettle.errors import InvalidRequest
from fettle.webhooks import addresses

OURS = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("127.0.0.1/32")]

INSIDE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",  # noqa: S104 — an address to refuse
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",  # metadata
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00:ec2::254",  # metadata
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::101:101",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fec0::1",
    "::ffff:0:127.0.0.1",
]


@pytest.mark.parametrize("address", INSIDE)
async def test_an_address_inside_is_refused(address: str) -> None:
    with pytest.raises(addresses.Forbidden):
        await addresses.resolve(address, 443, [], plain=False)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidRequest):
        addresses.check_url(f"https://{host}/hook", [])


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
async def test_other_spellings_of_loopback_are_refused(host: str) -> None:
    with pytest.raises((addresses.Forbidden, socket.gaierror)):
        await addresses.resolve(host, 443, [], plain=False)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111"])
async def test_a_public_address_is_reached(address: str) -> None:
    assert await addresses.resolve(address, 443, [], plain=False) == address


async def test_networks_of_the_operator_are_reached_and_no_others() -> None:
    assert await addresses.resolve("10.1.2.3", 80, OURS, plain=True) == "10.1.2.3"
    for other in ("10.2.0.1", "127.0.0.2"):
        with pytest.raises(addresses.Forbidden):
            await addresses.resolve(other, 443, OURS, plain=False)
    with pytest.raises(addresses.Forbidden):
        await addresses.resolve("1.1.1.1", 80, OURS, plain=True)  # without TLS, in public


async def test_a_name_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("1.1.1.1", 443)), (2, 1, 6, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with pytest.raises(addresses.Forbidden):
        await addresses.resolve("two.example", 443, [], plain=False)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com", "https://", "example.com", "http://example.com", "https://u:p@example.com", "https://[::1"],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        addresses.check_url(url, [])
