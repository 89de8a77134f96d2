import pytest
from pydantic import SecretStr

from fettle.errors import Unauthenticated
from fettle.observability.metrics_auth import check

KEY = SecretStr("sesame")


def test_with_a_key_whoever_has_it_may_and_nobody_else() -> None:
    check(KEY, {"authorization": "Bearer sesame"}, "203.0.113.9")
    for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "sesame"}, {"authorization": "Bearer é"}):
        with pytest.raises(Unauthenticated, match="FETTLE_METRICS_KEY"):
            check(KEY, headers, "127.0.0.1")


@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_without_a_key_this_host_may(client: str) -> None:
    check(None, {}, client)


@pytest.mark.parametrize("client", ["203.0.113.9", "testclient", None])
def test_without_a_key_nobody_else_may(client: str | None) -> None:
    with pytest.raises(Unauthenticated, match="this host only"):
        check(None, {}, client)


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-real-ip"])
def test_behind_a_proxy_nobody_is_local(header: str) -> None:
    with pytest.raises(Unauthenticated):
        check(None, {header: "127.0.0.1"}, "127.0.0.1")
