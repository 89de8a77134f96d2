"""/metrics, and the one line that every request leaves in the log."""

from pathlib import Path

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.api.asgi import chunk, exchange
from tests.api.tenants import Tenant, refusal, running, settings_in
from tests.conftest import Api
from tests.fettle.observability.test_metrics import values

JOBS = "/v1/fine_tuning/jobs"
ROUTE = 'fettle_http_requests_total{method="GET",route="/v1/fine_tuning/jobs/{job_id}",status="%s"}'


async def scraped(tenant: Tenant) -> dict[str, float]:
    answer = await tenant.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return values(answer.content)


class TestCounted:
    async def test_a_request_counts_under_its_routes_template(self, tenant: Tenant) -> None:
        before = await scraped(tenant)
        job = await tenant.job()
        await tenant.http.get(f"{JOBS}/{job['id']}")
        await tenant.http.get(f"{JOBS}/{job['id']}")
        await tenant.http.get(f"{JOBS}/ftjob-none")
        after = await scraped(tenant)
        assert after[ROUTE % 200] - before.get(ROUTE % 200, 0) == 2
        assert after[ROUTE % 404] - before.get(ROUTE % 404, 0) == 1
        assert not any(job["id"] in name or tenant.project.id in name for name in after)

    async def test_paths_and_methods_that_clients_invent_make_no_series(self, api: Api, tenant: Tenant) -> None:
        before = await scraped(tenant)
        for number in range(5):
            await tenant.http.get(f"/invented/{number}")
            await tenant.http.request(f"BREW{number}", JOBS)
            await api.stranger().get(f"{JOBS}/{number}")
        new = set(await scraped(tenant)) - set(before)
        assert not any("invented" in name or "BREW" in name for name in new)

    async def test_bytes_both_ways(self, tenant: Tenant) -> None:
        before = await scraped(tenant)
        await tenant.upload(b'{"prompt": "1 + 1 =", "completion": "2"}\n' * 1000)
        after = await scraped(tenant)
        assert after["fettle_http_received_bytes_total"] - before["fettle_http_received_bytes_total"] > 41_000
        assert after["fettle_http_sent_bytes_total"] - before["fettle_http_sent_bytes_total"] > 1000
        assert after["fettle_http_requests_in_flight"] == 1  # this scrape

    async def test_a_chat_without_an_engine_is_counted_and_so_is_the_engine(self, tenant: Tenant) -> None:
        before = await scraped(tenant)
        answer = await tenant.http.post("/v1/chat/completions", json={"model": "starter", "messages": []})
        assert answer.status_code == 503
        after = await scraped(tenant)
        for name in ('fettle_chat_requests_total{outcome="unavailable"}', 'fettle_errors_total{part="engine"}'):
            assert after[name] - before[name] == 1

    async def test_a_stream_that_has_ended_is_not_open(self, tenant: Tenant) -> None:
        job = await tenant.job()
        await tenant.http.post(f"{JOBS}/{job['id']}/cancel")
        answer = await tenant.http.get(f"{JOBS}/{job['id']}/events?stream=true")
        assert "[DONE]" in answer.text
        assert (await scraped(tenant))["fettle_event_streams_open"] == 0


class TestWhoMayScrape:
    @pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
    async def test_what_came_through_a_proxy_is_not_local(self, tenant: Tenant, header: str) -> None:
        answer = await tenant.http.get("/metrics", headers={header: "127.0.0.1"})
        assert refusal(answer) == (401, "invalid_api_key", None)

    async def test_another_host_is_refused_without_a_key(self, api: Api) -> None:
        async def away(scope, receive, send):  # type: ignore[no-untyped-def]
            await api.app({**scope, "client": ("192.0.2.7", 1234)}, receive, send)

        assert (await exchange(away, "GET", "/metrics", None, [chunk(last=True)])).status == 401
        assert (await exchange(api.app, "GET", "/metrics", None, [chunk(last=True)])).status == 200

    async def test_with_a_key_the_key_is_wanted_from_everyone(self, tmp_path: Path) -> None:
        async with running(settings_in(tmp_path, metrics_key="sesame")) as api:
            assert (await api.stranger().get("/metrics")).status_code == 401
            assert (await (await api.client()).get("/metrics")).status_code == 401  # a tenant's key is not it
            assert (await api.stranger("sesame").get("/metrics")).status_code == 200


class TestLogged:
    async def test_one_line_with_the_ids_of_request_and_project(self, tenant: Tenant) -> None:
        with capture_logs([merge_contextvars]) as logged:
            answer = await tenant.http.get(f"{JOBS}?metadata[note]=secret")
        (line,) = logged
        assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", JOBS, 200)
        assert line["request_id"] == answer.headers["x-request-id"]
        assert line["project_id"] == tenant.project.id
        assert "secret" not in str(line)

    async def test_a_refused_stranger_has_no_project(self, api: Api) -> None:
        with capture_logs([merge_contextvars]) as logged:
            await api.stranger("fk_wrong").get(JOBS)
        (line,) = logged
        assert line["status"] == 401
        assert "project_id" not in line
        assert "fk_wrong" not in str(line)

    async def test_probes_are_logged_below_info(self, tenant: Tenant) -> None:
        with capture_logs() as logged:
            await tenant.http.get("/healthz")
        assert [line["log_level"] for line in logged] == ["debug"]
