"""The address that an engine announces."""

import socket

import pytest

from fettle.settings import Settings
from worker.engine.presence import address


def test_one_that_listens_everywhere_announces_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "ada")
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "10.0.0.7")
    assert address(Settings(engine_url="http://0.0.0.0:8001")) == "http://10.0.0.7:8001"


def test_a_host_that_does_not_know_its_own_address_announces_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise socket.gaierror(name)

    monkeypatch.setattr(socket, "gethostname", lambda: "ada")
    monkeypatch.setattr(socket, "gethostbyname", unknown)
    assert address(Settings(engine_url="http://0.0.0.0:8001")) == "http://ada:8001"


class Probe:
    """A socket whose route leaves from 10.0.0.9."""

    def __init__(self, *_: object) -> None: ...
    def __enter__(self) -> "Probe":
        return self

    def __exit__(self, *_: object) -> None: ...
    def connect(self, to: tuple[str, int]) -> None: ...
    def getsockname(self) -> tuple[str, int]:
        return "10.0.0.9", 40000


def test_a_host_whose_name_means_loopback_announces_the_address_of_its_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    monkeypatch.setattr(socket, "socket", Probe)
    assert address(Settings(engine_url="http://0.0.0.0:8001")) == "http://10.0.0.9:8001"


def test_an_address_that_is_set_is_announced() -> None:
    settings = Settings(engine_url="http://0.0.0.0:8001", engine_announce_url="http://gpu-1:8001/")
    assert address(settings) == "http://gpu-1:8001"
