"""Real data through the API: GSM8K rows, converted, uploaded and trained on for a few steps."""

import json
from itertools import islice
from pathlib import Path

import pytest

from examples.gsm8k import problems
from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "train.jsonl"


@pytest.mark.skipif(not GSM8K.is_file(), reason="GSM8K is not beside the project")
@pytest.mark.parametrize("style", ["answer", "reasoned"])
def test_a_few_steps_on_real_problems(server: Server, style: str) -> None:
    rows = [problem.row(style) for problem in islice(problems(GSM8K), 24)]
    content = "\n".join(json.dumps(row) for row in rows).encode()
    file = server.client.files.create(file=("gsm8k.jsonl", content), purpose="fine-tune")
    job = server.client.fine_tuning.jobs.create(
        model="starter",
        training_file=file.id,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 8}}},
    )
    done = server.wait_for_end(job.id)
    assert done.status == "succeeded", done.error
    losses = server.http.get(f"/v1/fine_tuning/jobs/{job.id}/metrics").json()["columns"]["train_loss"]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
