import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from fettle.observability.causes import HIDDEN, LENGTH, for_tenants, in_words


class TestForTenants:
    @pytest.mark.parametrize(
        "address",
        [
            "http://minio.storage.svc:9000/bucket/key?x=1",
            "postgresql+asyncpg://user:secret@db/fettle",
            "10.0.3.7:5432",
            "10.0.3.7",
            "[fd00::12]:5432",
            "db.prod.internal",
            "minio:9000",
            "localhost",
            "/var/lib/fettle/work/ftjob-1/1",
            "arn:aws:iam::123456789012:user/fettle",
        ],
    )
    def test_an_internal_address_is_taken_out(self, address: str) -> None:
        assert for_tenants(f"Could not reach {address} in time") == f"Could not reach {HIDDEN} in time"

    @pytest.mark.parametrize(
        "words",
        [
            "403 AccessDenied: bucket policy says no",
            "jobs/ftjob-1/1/adapter/adapter_model.safetensors: 503 SlowDown: Please reduce your request rate.",
            "no such table: jobs (statement: SELECT jobs.id FROM jobs)",
            "404 NoSuchBucket: The specified bucket does not exist",
        ],
    )
    def test_the_stores_own_words_stay(self, words: str) -> None:
        assert for_tenants(words) == words

    def test_it_is_one_line_of_bounded_length(self) -> None:
        shown = for_tenants("a\n\x1b[31mb\0" + "x" * 10_000)
        assert len(shown) == LENGTH
        assert shown.startswith("a [31mb x")


class TestInWords:
    def test_a_querys_error_has_the_databases_words_and_the_statement(self) -> None:
        error = OperationalError("SELECT  a\nFROM t", {"a": "secret"}, sqlite3.OperationalError("no such table: t"))
        assert in_words(error) == "no such table: t (statement: SELECT a FROM t)"

    def test_an_error_without_words_has_its_name(self) -> None:
        assert in_words(TimeoutError()) == "TimeoutError"
