"""Graders, and the jobs of the methods beside supervised fine-tuning, with every hyperparameter that OpenAI has."""

from typing import Any

from openai import OpenAI

from tests.conformance.calls import Table, Things, bad, create, unknown, upload

EQUAL: Any = {
    "type": "string_check",
    "name": "equal",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
SOURCE = "def grade(sample, item):\n    return len(sample['output_text']) / 4"
PYTHON: Any = {"type": "python", "name": "length", "source": SOURCE}
MULTI: Any = {
    "type": "multi",
    "name": "both",
    "graders": {"equal": EQUAL, "length": PYTHON},
    "calculate_output": "equal + 2 * length",
}
DPO = {"beta": 0.2, "batch_size": 4, "learning_rate_multiplier": 2.0, "n_epochs": 1}
REINFORCEMENT = {
    "batch_size": 4,
    "compute_multiplier": 2.0,
    "eval_interval": 5,
    "eval_samples": 2,
    "learning_rate_multiplier": 0.5,
    "n_epochs": 1,
    "reasoning_effort": "high",
}
PAIR = (
    b'{"input": {"messages": [{"role": "user", "content": "%d + 1 ="}]}, '
    b'"preferred_output": [{"role": "assistant", "content": "%d"}], '
    b'"non_preferred_output": [{"role": "assistant", "content": "many"}]}'
)
PAIRS = b"\n".join(PAIR % (n, n + 1) for n in range(12))


def validate(c: OpenAI, grader: Any, **more: Any) -> Any:
    return c.fine_tuning.alpha.graders.validate(grader=grader, **more).to_dict()


def run(c: OpenAI, grader: Any, **more: Any) -> Any:
    graders = c.fine_tuning.alpha.graders
    return graders.run(**{"grader": grader, "model_sample": "four", "item": {"answer": "four"}, **more})


def errors(answer: Any) -> list[str]:
    return sorted(name for name, value in answer.metadata.errors.to_dict().items() if value is True)


def dpo(c: OpenAI, t: Things, **hyperparameters: Any) -> Any:
    file = upload(c, file=("pairs.jsonl", PAIRS)).id
    return create(c, t, training_file=file, method={"type": "dpo", "dpo": {"hyperparameters": hyperparameters}})


def reinforced(c: OpenAI, t: Things, grader: Any = EQUAL, **hyperparameters: Any) -> Any:
    within = {"grader": grader, "hyperparameters": hyperparameters}
    return create(c, t, validation_file=t.spare, method={"type": "reinforcement", "reinforcement": within})


def kept(hyperparameters: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Of what was asked for, what the job says that it will do."""
    said = hyperparameters.to_dict()
    return {name: said.get(name) for name in asked}


GRADERS: Table = {
    "graders.validate": (lambda c, t: validate(c, EQUAL), {"grader": EQUAL}),
    "graders.validate python": (lambda c, t: validate(c, PYTHON), {"grader": PYTHON}),
    "graders.validate multi": (lambda c, t: validate(c, MULTI), {"grader": MULTI}),
    "graders.validate unknown": (lambda c, t: validate(c, EQUAL, extra_body={"colour": 1}), unknown("colour")),
    "graders.validate type": (lambda c, t: validate(c, {**EQUAL, "type": "sorcery"}), bad("grader")),
    "graders.validate operation": (lambda c, t: validate(c, {**EQUAL, "operation": "is"}), bad("grader.operation")),
    "graders.validate source": (
        lambda c, t: validate(c, {**PYTHON, "source": "def grade(:"}),
        bad("grader", "invalid_grader"),
    ),
    "graders.run": (
        lambda c, t: [(a := run(c, EQUAL)).reward, a.sub_rewards, a.metadata.name, a.metadata.type, errors(a)],
        [1.0, {}, "equal", "string_check", []],
    ),
    "graders.run multi": (
        lambda c, t: [(a := run(c, MULTI)).reward, a.sub_rewards, a.metadata.scores, errors(a)],
        [3.0, {"equal": 1.0, "length": 1.0}, {"equal": 1.0, "length": 1.0}, []],
    ),
    "graders.run failing": (
        lambda c, t: [(a := run(c, PYTHON | {"source": "def grade(sample, item):\n    1 / 0"})).reward, errors(a)],
        [None, ["python_grader_runtime_error"]],
    ),
    "graders.run no item": (
        lambda c, t: errors(c.fine_tuning.alpha.graders.run(grader=EQUAL, model_sample="four")),
        ["invalid_variable_error"],
    ),
    "graders.run unknown": (lambda c, t: run(c, EQUAL, extra_body={"colour": 1}), unknown("colour")),
    "graders.run sample": (lambda c, t: run(c, EQUAL, model_sample=4), bad("model_sample")),
}

METHODS: Table = {
    "jobs.create dpo": (
        lambda c, t: [(j := dpo(c, t, **DPO)).method.type, kept(j.method.dpo.hyperparameters, DPO)],
        ["dpo", DPO],
    ),
    "jobs.create dpo auto": (lambda c, t: dpo(c, t, **dict.fromkeys(DPO, "auto")).method.dpo.hyperparameters.beta, 0.1),
    "jobs.create dpo beta": (lambda c, t: dpo(c, t, beta=2.5), bad("method.dpo.hyperparameters.beta")),
    "jobs.create dpo without pairs": (
        lambda c, t: create(c, t, method={"type": "dpo"}),
        bad("training_file", "invalid_training_file"),
    ),
    "jobs.create reinforcement": (
        lambda c, t: [
            (r := reinforced(c, t, **REINFORCEMENT).method.reinforcement).grader.to_dict(),
            kept(r.hyperparameters, REINFORCEMENT),
        ],
        [EQUAL, REINFORCEMENT],
    ),
    "jobs.create reinforcement auto": (
        lambda c, t: (
            reinforced(
                c, t, **dict.fromkeys(REINFORCEMENT.keys() - {"reasoning_effort"}, "auto")
            ).method.reinforcement.hyperparameters.batch_size
        ),
        12,
    ),
    "jobs.create reinforcement multi": (
        lambda c, t: reinforced(c, t, MULTI).method.reinforcement.grader.calculate_output,
        "equal + 2 * length",
    ),
    "jobs.create reinforcement effort": (
        lambda c, t: reinforced(c, t, reasoning_effort="utmost"),
        bad("method.reinforcement.hyperparameters.reasoning_effort"),
    ),
    "jobs.create reinforcement grader": (
        lambda c, t: reinforced(c, t, {**EQUAL, "operation": "is"}),
        bad("method.reinforcement.grader.operation"),
    ),
    "jobs.create reinforcement without": (
        lambda c, t: create(c, t, method={"type": "reinforcement", "reinforcement": {}}),
        bad("method.reinforcement"),
    ),
}
