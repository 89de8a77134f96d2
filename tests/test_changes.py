"""The typical changes of CONTRIBUTING, made in a copy of the tree. Each takes as many files as the page says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FOLDERS = ("api", "assets", "examples", "fettle", "migrations", "models", "tests", "worker")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")
ROW = re.compile(r"^\| (?:\[)?(?P<change>[\w ]+)(?:\]\([^)]*\))? \| (?P<files>\d+) \|", re.MULTILINE)

# a file's path → its new content, made of the old one; a file that is not there begins empty
Change = dict[str, Callable[[str], str]]


def promised() -> dict[str, int]:
    """Change → files, from CONTRIBUTING's table."""
    return {row["change"]: int(row["files"]) for row in ROW.finditer((ROOT / "CONTRIBUTING.md").read_text())}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=LEFT_OUT)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def apply(scratch: Path, change: Change) -> None:
    for name, changed in change.items():
        file = scratch / name
        before = file.read_text() if file.exists() else ""
        after = changed(before)
        assert after != before, f"nothing changed in {name}"
        file.write_text(after)


def run_tests(scratch: Path, *arguments: str) -> str:
    """What pytest printed; the tests pass."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *arguments]
    env = {**os.environ, "PYTHONPATH": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=scratch, env=env, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def new(text: str) -> Callable[[str], str]:
    """A new file."""

    def written(before: str) -> str:
        assert before == ""
        return text

    return written


def after(line: str, added: str) -> Callable[[str], str]:
    """The file with `added` below the one line `line`."""

    def inserted(before: str) -> str:
        assert before.count(f"\n{line}\n") == 1, f"{line!r} is not there once"
        return before.replace(f"\n{line}\n", f"\n{line}\n{added}\n")

    return inserted


REWARD_FUNCTION: Change = {
    "fettle/rewards/functions/shouting.py": new(
        '''"""How little of the completion is in capitals?"""

from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction
from fettle.rewards.samples import Sample


def open_shouting(_: Parameters, __: Resources) -> EachSample:
    def value(sample: Sample) -> float:
        letters = [letter for letter in sample.completion if letter.isalpha()]
        return 1.0 - sum(letter.isupper() for letter in letters) / len(letters) if letters else 1.0

    return EachSample(value)


SHOUTING = RewardFunction(
    description="1 without capitals, 0 with nothing else.",
    parameters=Parameters,
    examples=(Example("quiet", 1.0, {}, {}), Example("LOUD", 0.0, {}, {}), Example("No", 0.5, {}, {})),
    open=open_shouting,
)
'''
    ),
    "fettle/rewards/functions/__init__.py": lambda before: after(
        '    "repetition": REPETITION,', '    "shouting": SHOUTING,'
    )(
        after(
            "from fettle.rewards.functions.reward_model import REWARD_MODEL",
            "from fettle.rewards.functions.shouting import SHOUTING",
        )(before)
    ),
}

ENDPOINT: Change = {
    "fettle/jobs/workers.py": lambda before: (
        before.replace(
            "from fettle.db import database_now",
            "from fettle.db import database_now\nfrom fettle.errors import NotFound",
        )
        + '''

async def get(session: AsyncSession, worker_id: str, heartbeat_seconds: float, project_id: str | None = None) -> Seen:
    """Raises NotFound."""
    for each in await seen(session, heartbeat_seconds, project_id):
        if each.worker.id == worker_id:
            return each
    raise NotFound(f"No worker has the id {worker_id!r}. GET /v1/workers lists them.", param="worker_id")
'''
    ),
    "api/routes/workers.py": lambda before: (
        before
        + """

@router.get("/{worker_id}")
async def retrieve(worker_id: str, caller: Caller, session: Snapshot, services: Services) -> dict[str, Any]:
    confined = permissions.confined_to(caller)
    return worker_object(await workers.get(session, worker_id, services.settings.heartbeat_seconds, confined))
"""
    ),
    "api/scopes.py": after('    "GET /v1/workers": "jobs.read",', '    "GET /v1/workers/{worker_id}": "jobs.read",'),
}

METHOD: Change = {
    "fettle/methods/imitation.py": new(
        '''"""Imitation: supervised fine-tuning that sees every row once."""

from typing import Any, Literal

from fettle.methods import supervised
from fettle.methods.common import Given
from fettle.methods.spec import TEXTS, Method, MethodSpec
from fettle.methods.supervised import Supervised, SupervisedMethod


class ImitationMethod(Method):
    type: Literal["imitation"]
    imitation: Supervised = Supervised()


def resolve(method: ImitationMethod, given: Given) -> dict[str, Any]:
    resolved = supervised.resolve(SupervisedMethod(type="supervised", supervised=method.imitation), given)
    return {"hyperparameters": {**resolved["hyperparameters"], "n_epochs": 1}}


SPEC = MethodSpec(request=ImitationMethod, resolve=resolve, shapes=TEXTS)
'''
    ),
    "fettle/methods/__init__.py": lambda before: after('    "dpo": dpo.SPEC,', '    "imitation": imitation.SPEC,')(
        before.replace("from fettle.methods import dpo, ", "from fettle.methods import dpo, imitation, ")
    ),
    "worker/training/methods/imitation.py": new(
        '''"""Imitation: the supervised trainer."""

from worker.training.methods import supervised
from worker.training.methods.supervised import SupervisedTrainer
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work


def build(work: Work, channel: Channel) -> SupervisedTrainer:
    return supervised.build(work, channel)
'''
    ),
    "worker/training/methods/__init__.py": lambda before: after(
        '    "dpo": dpo.build,', '    "imitation": imitation.build,'
    )(before.replace("import dpo, grpo, ", "import dpo, grpo, imitation, ")),
}

TEST_OF_METHOD = """from pathlib import Path

from tests.api.tenants import Tenant
from tests.worker.training.children import Child, rows, work_folder


async def test_a_job_can_ask_for_it(tenant: Tenant) -> None:
    job = await tenant.job(method={"type": "imitation"})
    assert job["method"]["imitation"]["hyperparameters"]["n_epochs"] == 1
    refused = await tenant.create(method={"type": "imitation", "imitation": {"hyperparameters": {"n_epoch": 1}}})
    assert refused.status_code == 400
    assert "n_epoch" in refused.json()["error"]["message"]


def test_a_worker_trains_it(tmp_path: Path) -> None:
    child = Child(work_folder(tmp_path / "work", rows(8), method="imitation"))
    lines = child.rest()
    assert (lines[-1]["type"], lines[-1]["step"]) == ("done", 1), child.log
"""

TEST_OF_ENDPOINT = """from tests.api.tenants import Tenant
from tests.api.test_workers import announce, leave


async def test_a_worker_is_found_by_its_id(tenant: Tenant) -> None:
    await announce(tenant, "gpu-7")
    try:
        assert (await tenant.http.get("/v1/workers/gpu-7")).json()["host"] == "gpu-1"
        refused = await tenant.http.get("/v1/workers/gpu-8")
        assert refused.status_code == 404
        assert "gpu-8" in refused.json()["error"]["message"]
    finally:
        await leave(tenant, "gpu-7")
"""


def test_a_reward_function(scratch: Path) -> None:
    apply(scratch, REWARD_FUNCTION)
    assert "3 passed" in run_tests(scratch, "tests/fettle/rewards/test_functions.py", "-k", "shouting")
    assert len(REWARD_FUNCTION) == promised()["reward function"]


def test_a_training_method(scratch: Path) -> None:
    apply(scratch, METHOD)
    (scratch / "tests/api/test_imitation.py").write_text(TEST_OF_METHOD)
    run_tests(scratch, "tests/api/test_imitation.py")
    assert len(METHOD) == promised()["training method"]


def test_an_endpoint(scratch: Path) -> None:
    apply(scratch, ENDPOINT)
    (scratch / "tests/api/test_worker.py").write_text(TEST_OF_ENDPOINT)
    run_tests(scratch, "tests/api/test_worker.py")
    assert len(ENDPOINT) == promised()["endpoint"]


PAGE: Change = {
    "api/console/pages/hello.js": new(
        """import { html } from "../lib/html.js";
import { Page as Frame } from "../parts/page.js";

export const Page = () => html`<${Frame} title="Hello">Good to see you.<//>`;
"""
    ),
    "api/console/routes.js": after(
        "export const ROUTES = [",
        '  { path: "/hello", title: "Hello", nav: "Work", load: () => import("./pages/hello.js") },',
    ),
}


def test_a_page_of_the_console(scratch: Path) -> None:
    apply(scratch, PAGE)
    assert len(PAGE) == promised()["page of the console"]
    said = run_tests(scratch, "tests/api/test_console.py", "-k", "import and (hello or routes)")
    assert "2 passed" in said  # the new page and the table


def test_a_change_whose_test_fails_is_seen(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert 1 == 2\n")
    with pytest.raises(AssertionError, match="1 failed"):
        run_tests(tmp_path, "test_it.py")
