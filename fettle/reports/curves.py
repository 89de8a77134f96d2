"""Which metrics are drawn together, and what good looks like."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fettle.reports.document import Chart, Series, visible

FUNCTIONS_AT_MOST = 6  # reward functions in one chart: as many as there are colours


@dataclass(frozen=True)
class Curve:
    title: str
    names: Sequence[str]
    note: str


CURVES = (
    Curve("Reward", ("train_reward_mean", "valid_reward_mean"), "Both should rise."),
    Curve("Loss", ("train_loss", "valid_loss"), "Validation that rises while training falls is overfitting."),
    Curve(
        "Token accuracy",
        ("train_mean_token_accuracy", "valid_mean_token_accuracy"),
        "The share of tokens that the model would have chosen itself.",
    ),
    Curve(
        "Accuracy of preferences",
        ("train_accuracy", "valid_accuracy", "train_rewards_accuracies", "valid_rewards_accuracies"),
        "The share of pairs whose better response gets the higher score.",
    ),
    Curve("KL to the reference", ("kl",), "How far the model has moved. A steep rise is a warning."),
    Curve("Entropy", ("entropy",), "A fall to zero means that all completions become alike."),
    Curve("Completion length", ("completion_length_mean",), "Tokens. Growth without reward is padding."),
    Curve("Gradient norm", ("grad_norm",), "Spikes are a sign of a learning rate that is too high."),
    Curve("Learning rate", ("learning_rate",), "Warm-up, then half a cosine to zero."),
    Curve("Tokens per second", ("tokens_per_second",), ""),
)


def charts(steps: Mapping[int, Mapping[str, float]]) -> Iterator[Chart]:
    for curve in CURVES:
        if series := [each for name in curve.names if (each := drawn(steps, name)).points]:
            yield Chart(curve.title, series, curve.note)
        if curve.title == "Reward" and (functions := list(of_functions(steps))):
            yield Chart("Scores of the reward functions", functions, "")


def of_functions(steps: Mapping[int, Mapping[str, float]]) -> Iterator[Series]:
    names = sorted({name for values in steps.values() for name in values if is_score(name)})
    for name in names[:FUNCTIONS_AT_MOST]:
        found = drawn(steps, name)
        yield Series(visible(name.removeprefix("rewards/").removesuffix("/mean"), 40), found.points)


def is_score(name: str) -> bool:
    return name.startswith("rewards/") and name.endswith("/mean")


def drawn(steps: Mapping[int, Mapping[str, float]], name: str) -> Series:
    points = [(float(step), values[name]) for step, values in steps.items() if values.get(name) is not None]
    return Series(visible(name.replace("_", " "), 40), points)
