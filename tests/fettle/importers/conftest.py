"""A shell whose commands read an account at OpenAI and ask a real API of Fettle."""

from collections.abc import Iterator

import pytest

from tests.api.served import served
from tests.fettle.cli.conftest import Shell, asking, server, shell
from tests.fettle.importers.account_server import KEY, AccountServer

__all__ = ["asking", "server", "shell"]  # fixtures


@pytest.fixture
def account() -> Iterator[tuple[AccountServer, str]]:
    made = AccountServer()
    with served(made.app) as url:
        yield made, url


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client would have waited."""
    made: list[float] = []
    monkeypatch.setattr("fettle.importers.account.sleep", made.append)
    return made


@pytest.fixture
def moving(
    asking: Shell, account: tuple[AccountServer, str], waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{account[1]}/v1")
    return asking
