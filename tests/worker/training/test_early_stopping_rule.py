"""What a run's validation losses say."""

import json
from dataclasses import asdict

from worker.training.early_stopping import Convergence, LossWatch, Verdict


def verdicts(losses: list[float], trained: list[float] | None = None, **options: float) -> list[Verdict]:
    """Validation losses at steps 1, 2, …, each after one training loss, which falls unless given."""
    found = Convergence(**options)  # type: ignore[arg-type]
    answers = []
    for step, loss in enumerate(losses, 1):
        found.train(trained[step - 1] if trained else 1 / step)
        answers.append(found.validate(step, loss))
    return answers


class TestBest:
    def test_the_lowest_loss_is_the_best_step(self) -> None:
        found = Convergence()
        for step, loss in enumerate([3.0, 1.0, 2.0, 1.0], 1):
            found.validate(step, loss)
        assert (found.best, found.best_step) == (1.0, 2)

    def test_the_lowest_loss_is_the_best_step_however_little_it_is_lower(self) -> None:
        found = Convergence(patience=9, min_delta=0.3)
        lowest = [found.validate(step, loss).lowest for step, loss in enumerate([2.0, 1.75, 1.71, 1.72], 1)]
        assert lowest == [True, True, True, False]
        assert (found.best, found.best_step) == (1.71, 3)


class TestPatience:
    def test_it_stops_after_as_many_validations_without_improvement(self) -> None:
        stops = [verdict.stop for verdict in verdicts([3, 2, 2.5, 2.4, 2.3], patience=3)]
        assert stops == [False, False, False, False, True]

    def test_an_improvement_starts_the_wait_again(self) -> None:
        assert not any(verdict.stop for verdict in verdicts([3, 4, 2, 4, 1, 4], patience=2))

    def test_an_improvement_of_less_than_min_delta_does_not_start_the_wait_again(self) -> None:
        stops = [verdict.stop for verdict in verdicts([2.0, 1.95, 1.92], patience=2, min_delta=0.1)]
        assert stops == [False, False, True]

    def test_small_improvements_that_together_exceed_min_delta_start_the_wait_again(self) -> None:
        """0.85 is 0.15 below the 1.0 of the last improvement, though only 0.05 below the validation before it."""
        found = Convergence(patience=9, min_delta=0.1)
        waited = []
        for step, loss in enumerate([1.0, 0.95, 0.9, 0.85, 0.8], 1):
            found.validate(step, loss)
            waited.append(found.waited)
        assert waited == [0, 1, 2, 0, 1]

    def test_without_patience_it_never_stops(self) -> None:
        assert not any(verdict.stop for verdict in verdicts([1, 2, 3, 4, 5, 6]))


class TestOverfitting:
    def test_two_rises_while_training_falls_are_said_once(self) -> None:
        said = [verdict.overfits for verdict in verdicts([1.0, 1.1, 1.2, 1.3])]
        assert [bool(sentence) for sentence in said] == [False, False, True, False]
        assert "rose from 1.0000 to 1.2000 while training loss fell from 1.0000 to 0.3333" in str(said[2])
        assert "early_stopping" in str(said[2])

    def test_a_dip_does_not_end_an_episode(self) -> None:
        said = [verdict.overfits for verdict in verdicts([1, 1.1, 1.2, 1.15, 1.2, 1.3])]
        assert [bool(sentence) for sentence in said] == [False, False, True, False, False, False]

    def test_after_a_fall_another_episode_is_said_again(self) -> None:
        said = [verdict.overfits for verdict in verdicts([1, 1.1, 1.2, 0.9, 1.0, 1.1])]
        assert [bool(sentence) for sentence in said] == [False, False, True, False, False, True]

    def test_a_rise_below_a_thousandth_is_none(self) -> None:
        assert not any(verdict.overfits for verdict in verdicts([1.0, 1.0005, 1.001, 1.0015]))

    def test_one_rise_is_noise(self) -> None:
        assert not any(verdict.overfits for verdict in verdicts([1, 1.1, 1.0, 1.1, 1.0, 1.1]))

    def test_a_run_whose_training_loss_rises_too_is_something_else(self) -> None:
        assert not any(verdict.overfits for verdict in verdicts([1, 2, 3, 4], trained=[1, 2, 3, 4]))

    def test_training_losses_between_validations_count_by_their_mean(self) -> None:
        """0.5 and 0.1 make 0.3, below the 0.4 before."""
        found = Convergence(rises=1, rose_from=(0.8, 0.6), valid_before=0.9, train_before=0.4)
        found.train(0.5)
        found.train(0.1)
        assert "to 0.3000" in str(found.validate(9, 1.0).overfits)


def test_a_checkpoint_of_an_earlier_version_goes_on_from_its_best_loss() -> None:
    state = Convergence(patience=1, min_delta=0.1, best=1.0, best_step=4).state()
    del state["improved_to"]
    again = Convergence.restored(state)
    assert again.validate(5, 0.95).stop
    assert (again.best, again.best_step) == (0.95, 5)


def test_what_comes_back_from_a_checkpoint_judges_as_before() -> None:
    found = Convergence(patience=2, min_delta=0.01)
    for step, loss in enumerate([1.0, 1.1], 1):
        found.train(1 / step)
        found.validate(step, loss)
    again = Convergence.restored(json.loads(json.dumps(found.state())))
    assert again == found
    again.train(0.1)
    verdict = again.validate(3, 1.2)
    assert verdict.stop
    assert verdict.overfits


class TestLossWatch:
    def test_a_loss_that_triples_by_more_than_a_fifth_of_a_nat_is_said_once(self) -> None:
        """Means of up to four: 0.04, then (0.04 + 3) ÷ 2 = 1.52."""
        watch = LossWatch()
        said = [watch.see(step, loss) for step, loss in enumerate([0.04, 3.0, 3.0, 3.0, 3.0], 1)]
        assert [bool(sentence) for sentence in said] == [False, True, False, False, False]
        assert "over the last 2 steps training loss is 1.5200 on average, up from 0.0400 (about step 1)" in str(said[1])
        assert watch.blown_up

    def test_a_small_rise_of_a_small_loss_is_noise(self) -> None:
        watch = LossWatch()
        assert not any(watch.see(step, loss) for step, loss in enumerate([0.01, 0.1, 0.2, 0.15, 0.1], 1))

    def test_a_large_loss_has_to_triple(self) -> None:
        watch = LossWatch()
        assert not any(watch.see(step, loss) for step, loss in enumerate([1.0, 2.0, 2.9, 2.9, 2.9, 2.9], 1))

    def test_one_bad_batch_late_in_a_run_is_outweighed_by_its_neighbours(self) -> None:
        watch = LossWatch()
        assert not any(watch.see(step, 0.5) for step in range(1, 9))
        assert watch.see(9, 2.4) is None  # (3 · 0.5 + 2.4) ÷ 4 = 0.975

    def test_a_loss_that_came_back_and_rises_again_is_said_again(self) -> None:
        watch = LossWatch()
        losses = [0.1] * 4 + [2.0] * 4 + [0.1] * 4 + [2.0] * 4
        said = [step for step, loss in enumerate(losses, 1) if watch.see(step, loss)]
        assert said == [5, 13]

    def test_what_comes_back_from_a_checkpoint_goes_on(self) -> None:
        watch = LossWatch()
        for step, loss in enumerate([0.1, 0.1, 0.1, 0.1, 2.0], 1):
            watch.see(step, loss)
        again = LossWatch(**json.loads(json.dumps(asdict(watch))))
        assert again == watch
        assert again.see(6, 2.0) is None
