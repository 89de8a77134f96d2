import time

import pytest
from prometheus_client import CollectorRegistry

from fettle.db import Database
from fettle.observability import metrics
from fettle.observability.metrics import API, Ledger
from models import Project
from tests import metrics_page
from tests.fettle import given
from worker.engine.metrics import ENGINE
from worker.metrics import WORKER, Pace, steps


def values(page: bytes) -> dict[str, float]:
    lines = [line for line in page.decode().splitlines() if line and line[0] != "#"]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


class TestLedger:
    async def test_jobs_are_counted_by_status_and_absent_ones_are_zero(self, db: Database, project: Project) -> None:
        await given.job(db, project)
        await given.job(db, project)
        await given.claimed(db, project)
        page = values(await Ledger(db).scrape())
        assert page['fettle_jobs{status="queued"}'] == 2
        assert page['fettle_jobs{status="running"}'] == 1
        assert page['fettle_jobs{status="failed"}'] == 0
        assert page["fettle_database_up"] == 1
        assert page["fettle_events_written"] == 4  # three were created, one of them started

    async def test_ages_are_by_the_databases_clock(self, db: Database, project: Project) -> None:
        await given.claimed(db, project, lease_seconds=40)
        await given.job(db, project, created_at=time.time() - 120)
        page = values(await Ledger(db).scrape())
        assert page["fettle_oldest_queued_seconds"] == pytest.approx(120, abs=2)
        assert page["fettle_lease_expires_seconds"] == pytest.approx(40, abs=2)

    async def test_an_empty_queue_has_no_age(self, db: Database) -> None:
        page = values(await Ledger(db).scrape())
        assert page["fettle_oldest_queued_seconds"] == 0
        assert str(page["fettle_lease_expires_seconds"]) == "nan"

    async def test_the_database_is_asked_once_in_five_seconds(self, db: Database, project: Project) -> None:
        ledger = Ledger(db)
        await ledger.scrape()
        await given.job(db, project)
        assert values(await ledger.scrape())['fettle_jobs{status="queued"}'] == 0
        ledger.read_at -= metrics.CACHE_SECONDS
        assert values(await ledger.scrape())['fettle_jobs{status="queued"}'] == 1

    async def test_a_database_that_is_away_takes_its_numbers_with_it_but_not_the_page(self) -> None:
        away = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none")
        page = values(await Ledger(away).scrape())
        await away.close()
        assert page["fettle_database_up"] == 0
        assert not any(name.startswith("fettle_jobs{") for name in page)
        assert str(page["fettle_oldest_queued_seconds"]) == "nan"
        assert "fettle_http_requests_in_flight" in page


class TestDocumented:
    def test_the_page_lists_every_metric_of_every_registry(self) -> None:
        page = metrics_page.PAGE.read_text()
        assert page == metrics_page.renewed(page), "run: python -m tests.metrics_page"
        assert "`fettle_worker_leases_reclaimed_total`" in page

    @pytest.mark.parametrize("registry", [API, WORKER, ENGINE], ids=["api", "worker", "engine"])
    def test_no_label_names_a_tenant_a_job_or_a_model(self, registry: CollectorRegistry) -> None:
        labels = {
            label for collector in registry._collector_to_names for label in getattr(collector, "_labelnames", ())
        }
        assert labels <= {"method", "route", "status", "outcome", "part", "integration", "flag"}


class TestPace:
    def test_steps_are_counted_once_and_their_time_is_shared_out(self) -> None:
        before = steps._value.get()
        pace = Pace()
        for step, now in ((10, 100.0), (11, 100.5), (11, 101.0), (15, 102.5)):  # the second line of 11 is a validation
            pace.see(step, now)
        assert steps._value.get() - before == 5
