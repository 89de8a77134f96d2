"""Every call of the table, with the SDK of the environment and with the last of the 1.x line."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from fettle.tenancy import projects
from models import JobStatus
from tests.api.served import Wire
from tests.api.tenants import Tenant
from tests.conformance.calls import Things
from tests.conformance.conftest import ALIAS, SLASHED
from tests.conformance.perform import CALLS, PAUSES, perform
from tests.conftest import Api

pytestmark = pytest.mark.slow  # the SDK builds hundreds of models at their first use

ROOT = Path(__file__).parents[2]
OLDER = Path(sys.prefix) / "openai-1"  # the Makefile puts it there
OLDER_VERSION = "1.109.1"


@pytest.fixture(scope="module", params=["environment", OLDER_VERSION])
async def outcomes(
    request: pytest.FixtureRequest,
    api: Api,
    server: tuple[Wire, str],
    grading: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[str, Any]]:
    """What each call came to. All are made by one new tenant, in the table's order."""
    if request.param == OLDER_VERSION and not OLDER.is_dir():
        pytest.skip(f"openai {OLDER_VERSION} is not in {OLDER}: `make test` puts it there")
    name = f"t-{uuid.uuid4().hex[:12]}"
    async with await api.client(name) as http:
        async with api.app.state.db.transaction() as session:
            tenant = Tenant(api, await projects.ensure(session, name), http)
        things = await made(tenant, tmp_path_factory.mktemp("things"))
    key = http.headers["authorization"].removeprefix("Bearer ")
    url = f"{server[1]}/v1"
    if request.param == OLDER_VERSION:
        yield in_another_process(url, key, things)
        return
    with OpenAI(base_url=url, api_key=key) as client:
        yield {"version": openai.__version__, **perform(client, things, CALLS | PAUSES)}


async def made(tenant: Tenant, folder: Path) -> Things:
    job = await tenant.job(metadata={"team": "blue"})
    for step in (1, 2):
        await tenant.log(job["id"], f"Step {step}", type="metrics", data={"step": step})
        checkpoint = await tenant.checkpoint(job["id"], step)
    ended, plain = await tenant.job(), await tenant.job()
    await tenant.end(ended["id"], JobStatus.CANCELLED)
    published = [
        await tenant.publish((await tenant.job(model=SLASHED, suffix=suffix))["id"], folder) for suffix in ("a", "b")
    ]
    return Things(
        file=job["training_file"],
        spare=(await tenant.upload())["id"],
        job=job["id"],
        ended=ended["id"],
        plain=plain["id"],
        tuned=published[0],
        doomed=published[1],
        checkpoint=checkpoint,
        base=SLASHED,
        alias=ALIAS,
    )


def in_another_process(url: str, key: str, things: Things) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.conformance.perform", url, key, json.dumps(asdict(things))]
    env = {**os.environ, "PYTHONPATH": str(OLDER)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes: dict[str, Any] = json.loads(done.stdout)
    return outcomes


@pytest.mark.parametrize("name", CALLS)
def test_the_call_comes_to_what_it_must(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name] == CALLS[name][1]


@pytest.mark.parametrize("name", PAUSES)
def test_pausing_and_resuming_come_to_what_they_must(outcomes: dict[str, Any], name: str, api: Api) -> None:
    if "/v1/fine_tuning/jobs/{job_id}/pause" not in api.app.openapi()["paths"]:
        pytest.skip("this version has no route for it")
    assert outcomes[name] == PAUSES[name][1]


def test_the_sdk_is_the_one_that_was_meant(outcomes: dict[str, Any], request: pytest.FixtureRequest) -> None:
    meant = request.node.callspec.params["outcomes"]
    assert outcomes["version"] == (openai.__version__ if meant == "environment" else OLDER_VERSION)
    assert openai.__version__.startswith("3.")
