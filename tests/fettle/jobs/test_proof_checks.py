"""The rules of a proof, on numbers written here."""

from typing import Any

import pytest

from fettle.errors import TrainingFailed
from fettle.jobs import proof_checks


def evidence(**changes: Any) -> dict[str, Any]:
    none = {"matrices": 0, "first": []}
    return {
        "unit": "rows",
        "rows_in_file": 40,
        "examples": 40,
        "left_out": {"too_long": {"rows": 3, "lines": [11, 27, 28]}},
        "kept": 37,
        "visits": 74,
        "epochs": 2,
        "stopped_early": False,
        "supervised_tokens": 370,
        "supervised_tokens_trained": 740,
        "matrices": 56,
        "moved": 56,
        "not_moved": none,
        "without_gradient": none,
        "not_finite": none,
        "optimizer_steps": 10,
        "steps_with_gradient": 10,
        "largest_gradient": 0.5,
        **changes,
    }


def probe(**changes: Any) -> dict[str, Any]:
    return {
        "rows": [[1, 2, 3]],
        "scores": False,
        "precision": "fp32",
        "quantization": None,
        "conversations": None,
        "tuned": [[-1.0, -2.0]],
        "base": [[-1.5, -3.0]],
        "next": [[{"row": 0, "tokens": 2, "tuned": -0.5, "base": -0.9}]],
        **changes,
    }


def again(tuned: list[float], base: list[float] | None = None, precision: str = "fp32") -> dict[str, Any]:
    return {"tuned": [tuned], "base": [base or [-1.5, -3.0]], "precision": precision}


def status(checks: list[dict[str, Any]], name: str) -> str:
    (found,) = [each for each in checks if each["name"] == name]
    return str(found["status"])


class TestTraining:
    def test_every_row_that_is_not_left_out_was_used_in_every_epoch(self) -> None:
        rows, tokens, moved = proof_checks.of_training(evidence(), 40)
        assert {rows["status"], tokens["status"], moved["status"]} == {"ok"}
        assert rows["message"] == (
            "The job trained on 37 of 40 rows; 3 left out (longer than max_seq_length): lines 11, 27, 28."
        )
        assert "740 supervised tokens: 370 in each of 2 epochs" in tokens["message"]

    @pytest.mark.parametrize(
        ("changes", "uploaded", "words"),
        [
            ({}, 41, "the file has 41 rows, but the run read 40"),
            ({"examples": 42}, 40, "2 rows are unaccounted for"),
            ({"visits": 72}, 40, "2 epochs of 37 rows are 74, but 72 were used"),
        ],
    )
    def test_rows_that_do_not_add_up_are_a_warning_with_the_numbers(
        self, changes: dict[str, Any], uploaded: int, words: str
    ) -> None:
        rows = proof_checks.of_training(evidence(**changes), uploaded)[0]
        assert rows["status"] == "warning"
        assert words in rows["message"]

    def test_a_run_that_stopped_early_need_not_have_seen_every_row_twice(self) -> None:
        found = proof_checks.of_training(evidence(visits=40, supervised_tokens_trained=400, stopped_early=True), 40)
        assert [each["status"] for each in found] == ["ok", "ok", "ok"]

    def test_tokens_that_the_loss_did_not_count_are_a_warning(self) -> None:
        found = proof_checks.of_training(evidence(supervised_tokens_trained=739), 40)
        assert status(found, "supervised_tokens") == "warning"

    @pytest.mark.parametrize("name", ["not_moved", "without_gradient"])
    def test_a_matrix_that_stood_still_is_named(self, name: str) -> None:
        stuck = {"matrices": 1, "first": ["layers.0.q_proj.lora_B"]}
        found = proof_checks.of_training(evidence(**{name: stuck}), 40)[-1]
        assert found["status"] == "warning"
        assert "layers.0.q_proj.lora_B" in found["message"]


class TestStorage:
    def test_the_same_values_are_ok(self) -> None:
        found = proof_checks.of_storage(probe(), again([-1.0, -2.00005]))
        assert [each["status"] for each in found] == ["ok", "ok"]
        assert found[0]["figures"]["mean"] == pytest.approx(0.000025)
        proof_checks.refuse_contradiction(found)

    @pytest.mark.parametrize("tuned", [[-1.0, -2.01], [-1.5, -3.0], [-1.0], [-1.0, float("nan")]])
    def test_other_values_fail_the_job(self, tuned: list[float]) -> None:
        """A little off; the base model's own; a value too few; none at all."""
        found = proof_checks.of_storage(probe(), again(tuned))
        assert status(found, "stored_adapter") == "failed"
        with pytest.raises(TrainingFailed, match="The model was not published") as refused:
            proof_checks.refuse_contradiction(found)
        assert refused.value.code == "adapter_not_reproduced"

    def test_in_bf16_more_may_differ(self) -> None:
        values = again([-1.0, -2.01], precision="bf16")
        assert status(proof_checks.of_storage(probe(precision="bf16"), values), "stored_adapter") == "ok"

    def test_what_the_base_itself_differs_by_is_allowed_twice_and_said(self) -> None:
        """Off by 0.01 on average, the base by 0.005: 0.0001 + 2 · 0.005 = 0.0101."""
        found = proof_checks.of_storage(probe(), again([-1.01, -2.01], [-1.505, -3.005]))
        assert status(found, "stored_adapter") == "warning"
        assert "0.005000" in found[0]["message"]

    def test_an_adapter_without_effect_is_a_warning(self) -> None:
        found = proof_checks.of_storage(probe(tuned=[[-1.5, -3.0]]), again([-1.5, -3.0]))
        assert status(found, "differs_from_base") == "warning"

    def test_without_rows_nothing_is_claimed(self) -> None:
        nothing = probe(rows=[], tuned=[], base=[], next=[])
        found = proof_checks.of_storage(nothing, {"tuned": [], "base": [], "precision": "fp32"})
        assert [each["status"] for each in found] == ["not_checked"]

    def test_a_large_score_may_differ_by_more(self) -> None:
        """300 / 30 · 0.0001 = 0.001."""
        scores = probe(scores=True, tuned=[[300.0]], base=[[1.0]], next=[])
        close, far = again([300.0009], [1.0]), again([300.002], [1.0])
        assert status(proof_checks.of_storage(scores, close), "stored_adapter") == "ok"
        assert status(proof_checks.of_storage(scores, far), "stored_adapter") == "failed"


class TestEngine:
    def test_the_same_values_that_are_not_the_bases(self) -> None:
        assert proof_checks.of_engine(probe(), [-0.50001], [-0.9])["status"] == "ok"

    def test_other_values_are_said_with_numbers(self) -> None:
        found = proof_checks.of_engine(probe(), [-0.6], [-0.9])
        assert found["status"] == "failed"
        assert found["figures"]["mean"] == pytest.approx(0.1)

    def test_the_bases_answers_under_the_tuned_name_fail(self) -> None:
        assert proof_checks.of_engine(probe(), [-0.9], [-0.9])["status"] == "failed"
        near = probe(next=[[{"row": 0, "tokens": 2, "tuned": -0.90001, "base": -0.9}]])
        found = proof_checks.of_engine(near, [-0.9], [-0.9])
        assert (found["status"], "base model" in found["message"]) == ("failed", True)

    def test_an_effect_within_the_allowance_cannot_be_told_from_the_base(self) -> None:
        near = probe(next=[[{"row": 0, "tokens": 2, "tuned": -0.90002, "base": -0.9}]])
        assert proof_checks.of_engine(near, [-0.90002], [-0.9])["status"] == "warning"

    def test_a_base_that_training_quantized_may_differ_by_what_quantizing_does(self) -> None:
        """The bare base differs by 0.1: 0.0001 + 2 · 0.1 = 0.2001 is allowed of the tuned one."""
        assert proof_checks.of_engine(probe(quantization="nf4"), [-0.65], [-1.0])["status"] == "ok"
        assert proof_checks.of_engine(probe(quantization="nf4"), [-0.75], [-1.0])["status"] == "failed"

    def test_a_reward_models_scores_are_compared_alone(self) -> None:
        scores = probe(scores=True, tuned=[[2.0]], base=[[0.3]], next=[])
        assert proof_checks.of_engine(scores, [2.0], [])["status"] == "ok"
        assert proof_checks.of_engine(scores, [2.5], [])["status"] == "failed"

    def test_without_an_engine_it_says_not_checked_yet(self) -> None:
        waiting = proof_checks.waiting_for_engine()
        assert (waiting["status"], waiting["message"][:15]) == ("not_checked", "Not checked yet")


@pytest.mark.parametrize(
    ("found", "worst"),
    [
        (["ok", "ok"], "ok"),
        (["ok", "not_checked"], "not_checked"),
        (["not_checked", "warning"], "warning"),
        (["failed", "warning", "ok"], "failed"),
    ],
)
def test_a_proof_is_as_good_as_its_worst_check(found: list[Any], worst: str) -> None:
    assert proof_checks.verdict([proof_checks.check("x", each, "") for each in found]) == worst
