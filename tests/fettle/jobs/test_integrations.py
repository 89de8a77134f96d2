from typing import Any

import pytest

from fettle.errors import InvalidRequest
from fettle.jobs import integrations
from fettle.settings import INTEGRATIONS, Settings

WANDB = {"type": "wandb", "wandb": {"project": "sums", "name": "first", "entity": "team", "tags": ["a", "b"]}}
MLFLOW = {"type": "mlflow", "mlflow": {"experiment": "sums"}}
TENSORBOARD = {"type": "tensorboard"}


class TestChecked:
    def test_openais_shape_is_kept_as_it_is(self) -> None:
        assert integrations.check([WANDB], INTEGRATIONS) == [WANDB]

    def test_what_was_not_said_is_filled_in(self) -> None:
        assert integrations.check([MLFLOW, TENSORBOARD], INTEGRATIONS) == [
            {"type": "mlflow", "mlflow": {"experiment": "sums", "tags": []}},
            {"type": "tensorboard", "tensorboard": {}},
        ]

    def test_none_is_none(self) -> None:
        assert integrations.check([], ()) == []


class TestRefused:
    @pytest.mark.parametrize(
        ("wanted", "param", "words"),
        [
            ([{"type": "comet"}], "integrations[0].type", "Choose one of: wandb, tensorboard, mlflow"),
            ([TENSORBOARD, {"type": "wandb"}], "integrations[1].wandb", "Missing"),
            ([{"type": "wandb", "wandb": {}}], "integrations[0].wandb.project", "Missing"),
            ([{"type": "wandb", "wandb": {"project": "a/b"}}], "integrations[0].wandb.project", "'a/b'"),
            ([{"type": "wandb", "wandb": {"project": "p", "group": "g"}}], "integrations[0].wandb.group", "Unknown"),
            ([{**TENSORBOARD, "tensorboard": {"dir": "/etc"}}], "integrations[0].tensorboard.dir", "Unknown"),
            ([{**MLFLOW, "uri": "http://169.254.169.254"}], "integrations[0].uri", "Unknown"),
            (
                [{"type": "mlflow", "mlflow": {"experiment": "a\nb"}}],
                "integrations[0].mlflow.experiment",
                "without control characters",
            ),
            ([WANDB, WANDB], "integrations[1]", "twice"),
            ([TENSORBOARD] * 6, "integrations", "5 are allowed"),
        ],
    )
    def test_the_error_names_what_is_wrong(self, wanted: list[dict[str, Any]], param: str, words: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            integrations.check(wanted, INTEGRATIONS)
        assert refused.value.param == param
        assert words in refused.value.message

    def test_what_the_operator_did_not_enable_says_what_there_is(self) -> None:
        with pytest.raises(InvalidRequest, match="this server offers: tensorboard"):
            integrations.check([WANDB], ("tensorboard",))
        with pytest.raises(InvalidRequest, match="this server offers none"):
            integrations.check([WANDB], ())


class TestSetting:
    def test_names_stand_with_commas_between(self) -> None:
        assert Settings(integrations="wandb, mlflow").enabled_integrations == ("wandb", "mlflow")
        assert Settings().enabled_integrations == ()

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"unknown: comet\. Choose from: wandb, tensorboard, mlflow"):
            Settings(integrations="wandb,comet")
