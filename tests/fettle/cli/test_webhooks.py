"""`fettle webhooks` against a real API."""

from tests.fettle.cli.conftest import Shell

URL = "https://localhost/hook"


def test_an_endpoint_is_created_listed_tried_and_deleted(asking: Shell) -> None:
    made = asking.json("webhooks", "create", "ci", URL, "--event", "batch.failed")
    assert made["signing_secret"].startswith("whsec_")
    assert made["event_types"] == ["batch.failed"]
    (line,) = [line for line in asking.ok("webhooks", "list").splitlines() if made["id"] in line]
    assert URL in line and "batch.failed" in line
    assert "may not reach" in asking.refused("webhooks", "test", made["id"], "batch.failed")
    assert asking.json("webhooks", "deliveries", made["id"]) == []
    assert asking.ok("webhooks", "delete", made["id"]) == f"{made['id']} deleted\n"


def test_without_events_it_is_told_of_the_ends_of_jobs_and_the_secret_is_printed_once(asking: Shell) -> None:
    said = asking.ok("webhooks", "create", "ci", URL)
    assert "whsec_" in said
    (found,) = [each for each in asking.json("webhooks", "list") if each["id"] in said]
    assert found["event_types"] == [f"fine_tuning.job.{end}" for end in ("succeeded", "failed", "cancelled")]
