import os

import pytest

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
    def test_a_slot_sees_its_own_device_and_nothing_else(self) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = "4, GPU-7f"
        environment.choose_device(slot=1)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-7f"

    def test_more_slots_than_devices_share_them(self) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = "4,5"
        environment.choose_device(slot=2)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"

    def test_devices_that_the_operator_hides_stay_hidden(self) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        environment.choose_device(slot=0)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_proxy_is_kept_unless_it_holds_a_password() -> None:
    os.environ.update(HTTPS_PROXY="http://proxy:3128", http_proxy="http://me:sesame@proxy:3128")
    environment.scrub(threads=1)
    assert os.environ["HTTPS_PROXY"] == "http://proxy:3128"
    assert "http_proxy" not in os.environ
