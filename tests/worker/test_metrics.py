import httpx
import pytest

from fettle.cli.up import free_port
from fettle.settings import Settings
from worker import metrics


def test_a_port_serves_the_workers_numbers_and_none_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    serve = metrics.start_http_server
    monkeypatch.setattr(metrics, "start_http_server", lambda *where: started.append(serve(*where)))
    metrics.serve(Settings(), 1)
    assert started == []
    port = free_port()
    metrics.serve(Settings(worker_metrics_port=port), 3)
    page = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    ((server, thread),) = started
    server.shutdown()
    server.server_close()
    thread.join()
    assert "fettle_worker_slots 3.0" in page
    assert 'fettle_worker_runs_ended_total{outcome="published"}' in page
    assert 'fettle_errors_total{part="database"}' in page
    assert "fettle_jobs{" not in page  # the ledger's numbers are the API's to tell
