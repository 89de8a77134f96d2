from typing import Any, get_args

import pytest
from pydantic import ValidationError

from fettle import methods
from fettle.errors import InvalidRequest

LARGE = 1_000_000_000  # parameters
SMALL = 1_000_000


def method(**asked: Any) -> methods.Method:
    return methods.SupervisedMethod.model_validate({"type": "supervised", "supervised": {"hyperparameters": asked}})


def resolved(
    rows: int = 1000,
    parameters: int = LARGE,
    length: int = 4096,
    file_bytes: int = 0,
    validates: bool = True,
    layers: frozenset[str] | None = None,
    **asked: Any,
) -> dict[str, Any]:
    whole = methods.resolve(
        method(**asked),
        methods.Given(
            rows=rows,
            base_parameters=parameters,
            base_length=length,
            file_bytes=file_bytes,
            validates=validates,
            layers=lambda: layers,
        ),
    )
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
        assert resolved(lora={"rank": 64})["lora"]["alpha"] == 128
        assert resolved(lora={"rank": 64, "alpha": 1})["lora"]["alpha"] == 1

    @pytest.mark.parametrize("rank", [0, 2, 4, 256, 16.5, "many"])
    def test_a_rank_that_vllm_cannot_serve_is_refused(self, rank: Any) -> None:
        with pytest.raises(ValidationError):
            method(lora={"rank": rank})

    def test_rslora_is_asked_for_by_name(self) -> None:
        assert resolved()["lora"]["use_rslora"] is False
        assert resolved(lora={"use_rslora": True})["lora"]["use_rslora"] is True

    def test_layers_are_all_linear_ones_or_those_that_are_named(self) -> None:
        layers = frozenset({"q_proj", "v_proj"})
        assert resolved(layers=layers)["lora"]["target_modules"] == "all-linear"
        assert resolved(layers=layers, lora={"target_modules": ["v_proj"]})["lora"]["target_modules"] == ["v_proj"]

    def test_a_layer_that_the_base_has_not_is_refused_with_those_it_has(self) -> None:
        with pytest.raises(InvalidRequest, match=r"no linear layer 'query'; choose from: k_proj, q_proj") as refused:
            resolved(layers=frozenset({"q_proj", "k_proj"}), lora={"target_modules": ["q_proj", "query"]})
        assert refused.value.param == "method.supervised.hyperparameters.lora.target_modules"

    @pytest.mark.parametrize("names", [[], "q_proj", ["a b"], [1]])
    def test_names_of_layers_come_as_a_list(self, names: Any) -> None:
        with pytest.raises(ValidationError):
            method(lora={"target_modules": names})


class TestPacking:
    def test_it_is_off_unless_asked_for(self) -> None:
        assert resolved()["packing"] is False

    def test_auto_batches_hold_as_many_rows_as_without(self) -> None:
        """16,000 rows of 512 bytes, about 128 tokens: 16 rows fill a block of 2048, and 32 rows make a batch."""
        found = resolved(rows=16_000, file_bytes=16_000 * 512, packing=True)
        assert found["batch_size"] == 2
        assert found["n_epochs"] == resolved(rows=16_000)["n_epochs"] == 1

    def test_a_batch_of_few_rows_is_one_block(self) -> None:
        assert resolved(rows=100, file_bytes=100 * 512, packing=True)["batch_size"] == 1

    def test_only_true_and_false_will_do(self) -> None:
        for value in ("yes", 1, "true", []):
            with pytest.raises(ValidationError):
                method(packing=value)


class TestIntervals:
    def test_auto_is_an_epoch(self) -> None:
        assert resolved()["eval_interval"] == resolved()["checkpoint_interval"] == "epoch"

    def test_with_early_stopping_auto_validates_ten_times(self) -> None:
        """1000 rows in batches of 10 make 100 steps an epoch, 300 in all."""
        assert resolved(1000, batch_size=10, early_stopping=True)["eval_interval"] == 30
        assert resolved(10, n_epochs=1, early_stopping=True)["eval_interval"] == 1

    def test_a_number_counts_steps(self) -> None:
        found = resolved(eval_interval=7, checkpoint_interval=21)
        assert (found["eval_interval"], found["checkpoint_interval"]) == (7, 21)

    @pytest.mark.parametrize("value", [0, -1, 1.5, "step"])
    def test_anything_else_is_refused(self, value: Any) -> None:
        for name in ("eval_interval", "checkpoint_interval"):
            with pytest.raises(ValidationError):
                method(**{name: value})


class TestEarlyStopping:
    def test_true_stands_for_its_defaults_and_false_for_none(self) -> None:
        assert resolved(early_stopping=True)["early_stopping"] == {"patience": 3, "min_delta": 0.0}
        assert resolved(early_stopping=False)["early_stopping"] is resolved()["early_stopping"] is False

    @pytest.mark.parametrize("value", ["yes", 3, {"patience": 0}, {"min_delta": -1}, {"pacience": 3}])
    def test_anything_else_is_refused(self, value: Any) -> None:
        with pytest.raises(ValidationError):
            method(early_stopping=value)

    @pytest.mark.parametrize(("name", "value"), [("early_stopping", True), ("eval_interval", 5)])
    def test_without_a_validation_file_there_is_nothing_to_look_at(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidRequest, match=f"'{name}' looks at the validation loss") as refused:
            resolved(validates=False, **{name: value})
        assert refused.value.param == f"method.supervised.hyperparameters.{name}"
        resolved(validates=False, early_stopping=False, checkpoint_interval=5)


class TestWarmup:
    def test_auto_is_a_twentieth_of_the_steps(self) -> None:
        assert resolved()["warmup_ratio"] == 0.05
        assert resolved(warmup_ratio=0)["warmup_ratio"] == 0

    @pytest.mark.parametrize("value", [-0.1, 0.6, "none"])
    def test_no_more_than_half(self, value: Any) -> None:
        with pytest.raises(ValidationError):
            method(warmup_ratio=value)


def test_a_job_of_an_earlier_version_lacks_nothing() -> None:
    """Every hyperparameter that is resolved today was there from the start, or stands in EARLIER."""
    found = resolved()
    from_the_start = {"n_epochs", "batch_size", "learning_rate_multiplier", "learning_rate", "max_seq_length", "lora"}
    assert found.keys() == from_the_start | methods.EARLIER.keys()
    assert found["lora"].keys() == {"rank", "alpha", "dropout"} | methods.EARLIER_LORA.keys()


class TestBounds:
    @pytest.mark.parametrize(
        ("name", "least", "most", "outside"),
        [
            ("n_epochs", 1, 50, [0, 51, -1, 1.5, "few", []]),
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
            methods.SupervisedMethod.model_validate(body)
        assert [error["type"] for error in refused.value.errors()] == ["extra_forbidden"]

    def test_every_type_has_its_model(self) -> None:
        assert tuple(methods.METHODS) == ("supervised", "dpo", "reward_model", "rlhf", "reinforcement", "grpo")
        for name, spec in methods.METHODS.items():
            (allowed,) = get_args(spec.request.model_fields["type"].annotation)
            assert methods.METHODS[allowed] is spec and (allowed == name or name == "grpo")
            assert name == "grpo" or name in spec.request.model_fields
        with pytest.raises(ValidationError):
            methods.SupervisedMethod.model_validate({"type": "telepathy"})


def test_a_resolved_method_says_no_auto_and_resolves_to_itself() -> None:
    """But for the multiplier, which its rate has in it already."""
    once = resolved(1000, n_epochs="auto")
    assert "auto" not in str(once)
    asked = {name: value for name, value in once.items() if name != "learning_rate_multiplier"}
    assert resolved(1000, **asked) == once


class TestResponseFormat:
    def asked(self, schema: Any) -> methods.Method:
        form = {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema, "strict": True}}
        body = {"reward_functions": ["exact_match"], "response_format": form}
        return methods.METHODS["reinforcement"].request.model_validate({"type": "reinforcement", "reinforcement": body})

    def test_it_is_kept_as_it_came(self) -> None:
        given = methods.Given(
            rows=20, base_parameters=SMALL, base_length=256, file_bytes=0, validates=False, layers=lambda: None
        )
        kept = methods.resolve(self.asked({"type": "integer"}), given)["reinforcement"]["response_format"]
        assert kept["json_schema"] == {"name": "sum", "schema": {"type": "integer"}, "strict": True}

    @pytest.mark.parametrize(
        ("schema", "words"), [({"type": "number of cups"}, "no valid JSON schema"), ({"const": "x" * 70_000}, "65,536")]
    )
    def test_a_schema_that_is_none_or_too_long_is_refused(self, schema: Any, words: str) -> None:
        with pytest.raises(ValidationError, match=words):
            self.asked(schema)
