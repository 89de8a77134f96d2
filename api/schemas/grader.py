from typing import Any

from fettle.schemas.strict import Strict

FLAGS = (
    "formula_parse_error",
    "invalid_variable_error",
    "model_grader_parse_error",
    "model_grader_refusal_error",
    "model_grader_server_error",
    "other_error",
    "python_grader_runtime_error",
    "python_grader_server_error",
    "sample_parse_error",
    "truncated_observation_error",
    "unresponsive_reward_error",
)
FLAG_OF = {  # of what `worker.rewards.grading_process` and its keeper say
    "load": "python_grader_runtime_error",
    "sandbox": "python_grader_server_error",
    "timeout": "unresponsive_reward_error",
    "died": "other_error",
}
DETAILED = ("model_grader_server_error", "python_grader_runtime_error")


class GraderValidate(Strict):
    grader: dict[str, Any]


class GraderRun(GraderValidate):
    """`model_sample`: the completion. `item`: the dataset row that it belongs to."""

    model_sample: str
    item: dict[str, Any] | None = None


def run_object(grader: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's answer of `graders/run`. `reward` is null where a grader failed: an error is no 0.

    Beyond OpenAI's fields: `other_error_details`, `printed`, and the `sandbox` that held user code.
    """
    score, name = result["scores"][0], grader["name"]
    parts = {label.removeprefix(f"{name}."): value for label, value in score["scores"].items() if label != name}
    failures = list(score["errors"].values())
    errors: dict[str, Any] = {flag: any(failure["flag"] == flag for failure in failures) for flag in FLAGS}
    for flag in DETAILED:
        errors[f"{flag}_details"] = next((f["message"] for f in failures if f["flag"] == flag), None)
    server_errors = [f["message"] for f in failures if f["flag"] == "python_grader_server_error"]
    errors["python_grader_server_error_type"] = server_errors[0] if server_errors else None
    errors["other_error_details"] = next(
        (f["message"] for f in failures if f["flag"] not in (*DETAILED, "python_grader_server_error")), None
    )
    return {
        "reward": score["reward"],
        "sub_rewards": parts,
        "model_grader_token_usage_per_model": {},
        "metadata": {
            "name": name,
            "type": grader["type"],
            "errors": errors,
            "execution_time": result["seconds"],
            "scores": parts or {name: score["reward"]},
            "token_usage": None,
            "sampled_model_name": None,
            "printed": score["printed"],
            "sandbox": result["sandbox"],
        },
    }


def load_failure(grader: dict[str, Any], error: dict[str, str]) -> dict[str, Any]:
    """The same for user code that did not load, or was not let."""
    failure = {"flag": FLAG_OF[error["kind"]], "message": error["message"]}
    name = grader["name"]
    score = {"reward": None, "scores": {name: None}, "errors": {name: failure}, "printed": ""}
    return run_object(grader, {"scores": [score], "seconds": 0.0, "sandbox": None})
