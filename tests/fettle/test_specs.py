from typing import Any

import pytest
from pydantic import ValidationError

from fettle import specs
from fettle.errors import InvalidRequest

LARGE = 1_000_000_000  # parameters
SMALL = 1_000_000


def method(**asked: Any) -> specs.Method:
    return specs.SupervisedMethod.model_validate({"type": "supervised", "supervised": {"hyperparameters": asked}})


def resolved(rows: int = 1000, parameters: int = LARGE, length: int = 4096, **asked: Any) -> dict[str, Any]:
    whole = specs.resolve(method(**asked), rows=rows, base_parameters=parameters, base_length=length)
    assert whole["type"] == "supervised"
    found: dict[str, Any] = whole["supervised"]["hyperparameters"]
    return found


class TestBatchSize:
    @pytest.mark.parametrize(
        ("rows", "size"),
        [
            (10, 8),  # 0.02, raised to 8
            (4000, 8),  # 0.002 · 4000 = 8
            (4600, 8),  # 9.2, the nearest multiple of 8
            (6400, 16),  # 12.8
            (20_000, 40),
            (32_000, 64),
            (1_000_000, 64),  # 2000, lowered to 64
        ],
    )
    def test_auto_is_a_five_hundredth_of_the_rows_in_multiples_of_8_from_8_to_64(self, rows: int, size: int) -> None:
        assert resolved(rows)["batch_size"] == size

    def test_what_is_asked_is_kept(self) -> None:
        assert resolved(batch_size=3)["batch_size"] == 3


class TestEpochs:
    @pytest.mark.parametrize(
        ("rows", "epochs"),
        [
            (10, 5),  # 2 steps a pass: 150 passes, lowered to 5
            (480, 5),  # 60 steps: 5
            (800, 3),  # 100 steps: 3
            (1600, 2),  # 200 steps: 1.5, rounded to the even 2
            (2400, 1),  # 300 steps
            (100_000, 1),  # 1563 steps of 64: 0.19, raised to 1
        ],
    )
    def test_auto_makes_about_300_steps_in_1_to_5_passes(self, rows: int, epochs: int) -> None:
        assert resolved(rows)["n_epochs"] == epochs

    def test_auto_counts_steps_of_the_batch_size_that_is_asked_for(self) -> None:
        """1000 rows in batches of 10: 100 steps a pass, 3 passes; in batches of 1: 1000 steps, 1 pass."""
        assert resolved(1000, batch_size=10)["n_epochs"] == 3
        assert resolved(1000, batch_size=1)["n_epochs"] == 1

    def test_a_last_short_batch_is_a_step(self) -> None:
        """681 rows in batches of 8 are 86 steps, not 85: 300 ÷ 86 = 3.49, but 300 ÷ 85 = 3.53."""
        assert resolved(681)["n_epochs"] == 3


class TestLearningRate:
    def test_auto_is_higher_for_a_small_base(self) -> None:
        assert resolved(parameters=99_999_999)["learning_rate"] == 8e-4
        assert resolved(parameters=100_000_000)["learning_rate"] == 2e-4

    def test_the_multiplier_scales_the_auto_rate(self) -> None:
        found = resolved(parameters=LARGE, learning_rate_multiplier=0.5)
        assert found["learning_rate"] == pytest.approx(1e-4)
        assert found["learning_rate_multiplier"] == 0.5

    def test_a_rate_that_is_asked_for_is_not_scaled(self) -> None:
        found = resolved(learning_rate=3e-5)
        assert (found["learning_rate"], found["learning_rate_multiplier"]) == (3e-5, 1.0)

    def test_a_rate_and_a_multiplier_together_are_refused(self) -> None:
        with pytest.raises(ValidationError, match=r"learning_rate_multiplier.*learning_rate"):
            method(learning_rate=1e-4, learning_rate_multiplier=2)


class TestLength:
    @pytest.mark.parametrize(("base", "length"), [(512, 512), (2048, 2048), (131_072, 2048)])
    def test_auto_is_what_the_base_was_made_for_at_most_2048(self, base: int, length: int) -> None:
        assert resolved(length=base)["max_seq_length"] == length

    def test_the_whole_length_of_the_base_may_be_asked_for(self) -> None:
        assert resolved(length=8192, max_seq_length=8192)["max_seq_length"] == 8192

    def test_more_than_the_base_can_read_is_refused(self) -> None:
        with pytest.raises(InvalidRequest, match=r"8193.*8192") as refused:
            resolved(length=8192, max_seq_length=8193)
        assert refused.value.param == "method.supervised.hyperparameters.max_seq_length"


class TestLora:
    def test_alpha_is_twice_the_rank_unless_given(self) -> None:
        assert resolved(lora={"rank": 64})["lora"] == {"rank": 64, "alpha": 128, "dropout": 0.0}
        assert resolved(lora={"rank": 64, "alpha": 1})["lora"]["alpha"] == 1

    @pytest.mark.parametrize("rank", [0, 2, 4, 256, 16.5, "many"])
    def test_a_rank_that_vllm_cannot_serve_is_refused(self, rank: Any) -> None:
        with pytest.raises(ValidationError):
            method(lora={"rank": rank})


class TestBounds:
    @pytest.mark.parametrize(
        ("name", "least", "most", "outside"),
        [
            ("n_epochs", 1, 50, [0, 51, -1, 1.5, "few", None]),
            ("batch_size", 1, 256, [0, 257, 2.5, "big"]),
            ("learning_rate_multiplier", 0.001, 100, [0, -1, 100.1, float("nan"), float("inf")]),
            ("learning_rate", 1e-9, 1, [0, -1e-4, 1.1, float("nan")]),
            ("max_seq_length", 16, 131_072, [15, 131_073, 0]),
        ],
    )
    def test_a_value_outside_is_refused_and_the_bounds_are_in(
        self, name: str, least: float, most: float, outside: list[Any]
    ) -> None:
        for inside in (least, most, "auto"):
            method(**{name: inside})
        for value in outside:
            with pytest.raises(ValidationError) as refused:
                method(**{name: value})
            assert name in {part for error in refused.value.errors() for part in error["loc"]}, value

    @pytest.mark.parametrize("lora", [{"alpha": 0}, {"alpha": 1025}, {"dropout": 1}, {"dropout": -0.1}])
    def test_so_it_is_for_lora(self, lora: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            method(lora=lora)


class TestUnknownNames:
    @pytest.mark.parametrize(
        "body",
        [
            {"type": "supervised", "extra": 1},
            {"type": "supervised", "supervised": {"extra": 1}},
            {"type": "supervised", "supervised": {"hyperparameters": {"learning_rat": 1e-4}}},
            {"type": "supervised", "supervised": {"hyperparameters": {"lora": {"r": 8}}}},
        ],
    )
    def test_a_misspelled_name_is_refused_at_every_depth(self, body: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as refused:
            specs.SupervisedMethod.model_validate(body)
        assert [error["type"] for error in refused.value.errors()] == ["extra_forbidden"]

    def test_every_type_has_its_model(self) -> None:
        assert specs.METHOD_TYPES == ("supervised",)
        with pytest.raises(ValidationError):
            specs.SupervisedMethod.model_validate({"type": "telepathy"})


def test_a_resolved_method_says_no_auto_and_resolves_to_itself() -> None:
    """But for the multiplier, which its rate has in it already."""
    once = resolved(1000, n_epochs="auto")
    assert "auto" not in str(once)
    asked = {name: value for name, value in once.items() if name != "learning_rate_multiplier"}
    assert resolved(1000, **asked) == once
