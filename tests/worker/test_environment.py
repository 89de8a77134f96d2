import os

import pytest

from fettle.host.devices import Slot
from worker import environment


@pytest.fixture(autouse=True)
def _restored() -> object:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_only_what_a_child_needs_is_kept() -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "s", "FETTLE_SECRET": "s", "HF_TOKEN": "s"}
    os.environ.update(secrets, CUDA_VISIBLE_DEVICES="1", HF_HOME="/models")
    environment.scrub(threads=3)
    assert not secrets.keys() & os.environ.keys()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert os.environ["HF_HOME"] == "/models"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_slots_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert environment.threads_per_slot(None, slots=1) == cores
    assert environment.threads_per_slot(None, slots=cores) == 1
    assert environment.threads_per_slot(None, slots=cores * 4) == 1
    assert environment.threads_per_slot(5, slots=2) == 5


class TestDevices:
    def test_a_child_sees_its_slots_devices_and_nothing_else(self) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = "4,5,GPU-7f"
        environment.choose_devices(Slot(("5", "GPU-7f"), ranks=2))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,GPU-7f"

    def test_devices_that_the_operator_hides_stay_hidden(self) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        environment.choose_devices(Slot())
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_proxy_is_kept_unless_it_holds_a_password() -> None:
    os.environ.update(HTTPS_PROXY="http://proxy:3128", http_proxy="http://me:sesame@proxy:3128")
    environment.scrub(threads=1)
    assert os.environ["HTTPS_PROXY"] == "http://proxy:3128"
    assert "http_proxy" not in os.environ
