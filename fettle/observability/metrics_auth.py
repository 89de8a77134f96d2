"""Who may read the /metrics of API and engine: who has FETTLE_METRICS_KEY; without that setting, this host."""

import secrets
from collections.abc import Mapping
from ipaddress import ip_address

from pydantic import SecretStr

from fettle.errors import Unauthenticated

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")  # then a proxy is on loopback, and the client anywhere


def check(key: SecretStr | None, headers: Mapping[str, str], client: str | None) -> None:
    """headers: by names in small letters. client: address, if it is known. Raises Unauthenticated."""
    if key is not None:
        expected = f"Bearer {key.get_secret_value()}".encode()
        if not secrets.compare_digest(headers.get("authorization", "").encode("latin-1"), expected):
            raise Unauthenticated("/metrics needs the header 'Authorization: Bearer <FETTLE_METRICS_KEY>'.")
    elif not local(headers, client):
        raise Unauthenticated("/metrics is open to this host only. Set FETTLE_METRICS_KEY to read it from other hosts.")


def local(headers: Mapping[str, str], client: str | None) -> bool:
    if client is None or any(name in headers for name in FORWARDED):
        return False
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return False
