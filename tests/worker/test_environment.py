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
