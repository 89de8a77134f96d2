"""Without a cluster there is an answer, and soon."""

import socket
from pathlib import Path

import pytest

from fettle.jobs.placement import Candidate, Need
from fettle.settings import Settings
from worker.ray.cluster import Cluster, RayUnavailable, connect


@pytest.mark.timeout(120)  # Ray itself tries for minutes
@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid", ""])
def test_an_address_where_no_cluster_answers_is_named_within_seconds(host: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"{host}:{port}" if host else "10.0.0.5"
    with pytest.raises(RayUnavailable, match=f"FETTLE_RAY_ADDRESS={address}. Check HOST:PORT"):
        connect(Settings(data=tmp_path, ray_address=address))


@pytest.mark.parametrize(
    ("asked", "a_node", "nodes", "gpus_each"),
    [(None, None, 1, 1), (8, None, 1, 8), (8, 8, 1, 8), (2, 1, 2, 1), (6, 4, 2, 3), (5, 4, 2, 3), (0, 4, 1, None)],
)
def test_a_job_gets_as_few_nodes_as_hold_it_with_equally_many_gpus(
    asked: int | None, a_node: int | None, nodes: int, gpus_each: int | None, tmp_path: Path
) -> None:
    cluster = Cluster(Settings(data=tmp_path, ray_node_gpus=a_node), "")
    job = Candidate(id="a", project_id="p", created_at=0, need=Need(gpus=asked))
    assert (cluster.nodes(job), cluster.bundle(job).get("GPU")) == (nodes, gpus_each)
