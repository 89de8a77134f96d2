"""Graders as a user calls them: the unmodified SDK, a whole server."""

from typing import Any

import pytest

from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

GRADER: Any = {
    "type": "multi",
    "name": "answer and brevity",
    "graders": {
        "answer": {
            "type": "string_check",
            "input": "{{sample.output_json.answer}}",
            "reference": "{{item.answer}}",
            "operation": "eq",
        },
        "brevity": {
            "type": "python",
            "source": "def grade(sample, item):\n    return 1 / len(sample['output_json'])",
        },
    },
    "calculate_output": "0.5 * answer + 0.5 * brevity",
}


def test_a_multi_grader_is_validated_and_run(server: Server) -> None:
    graders = server.client.fine_tuning.alpha.graders
    validated = graders.validate(grader=GRADER).grader
    assert validated is not None and validated.name == "answer and brevity"
    run = graders.run(grader=GRADER, model_sample='{"answer": "4", "why": "2 + 2"}', item={"answer": "4"})
    assert run.reward == 0.75  # ½ · 1 + ½ · ½
    assert run.sub_rewards == {"answer": 1.0, "brevity": 0.5}
    assert not run.metadata.errors.python_grader_runtime_error
    failed = graders.run(grader=GRADER, model_sample="four", item={"answer": "4"})
    assert failed.metadata.errors.sample_parse_error and failed.metadata.errors.python_grader_runtime_error
