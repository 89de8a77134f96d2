"""Which of this machine's addresses and interfaces lead to another machine."""

import fcntl
import socket
import struct
import sys

SIOCGIFADDR = 0x8915  # netdevice(7)


def own_address(host: str) -> str:
    """The address under which `host` sees this machine. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        address: str = probe.getsockname()[0]
        return address


def interface(address: str) -> str | None:
    """The interface that has this address of IPv4. None: not known. Linux only."""
    if sys.platform != "linux":
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:  # it has none
                continue
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    return None
