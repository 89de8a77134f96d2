"""What a run's validation losses say: which step is the best, when to stop, when it overfits."""

from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

OVERFITS_AFTER = 2  # validations in a row; a single rise is noise
LATELY = 4  # steps whose training loss is averaged
TIMES, RISE = 3.0, 0.2  # above the lowest such mean, and nats: from there on a run has blown up
FLAT = 0.001  # of the loss; a smaller rise is none


@dataclass(frozen=True)
class Verdict:
    """lowest: the lowest validation loss so far. overfits: said once an episode."""

    lowest: bool
    stop: bool
    overfits: str | None = None


@dataclass
class Convergence:
    """Kept in every checkpoint, so that a resumed run judges as an undisturbed one.

    The best step has the lowest loss, by however little. Patience counts from the last loss that was lower by more
    than `min_delta`, so that many small improvements together make one.

    patience: validations without an improvement of more than `min_delta` (nats) after which to stop; None: never.
    """

    patience: int | None = None
    min_delta: float = 0.0
    best: float | None = None  # the lowest validation loss
    best_step: int | None = None
    improved_to: float | None = None  # the validation loss of the last improvement of more than `min_delta`
    waited: int = 0  # validations since that improvement
    train_sum: float = 0.0  # of the losses since the last validation
    train_count: int = 0
    train_before: float | None = None  # mean training loss before the last validation
    valid_before: float | None = None
    rises: int = 0  # validations in a row that rose while training fell
    rose_from: tuple[float, float] = (0.0, 0.0)  # validation and training loss before the first of them
    warned: bool = False  # of this episode, which ends when validation is back where the rise began

    def train(self, loss: float) -> None:
        self.train_sum += loss
        self.train_count += 1

    def validate(self, step: int, loss: float) -> Verdict:
        lowest = self.best is None or loss < self.best
        if lowest:
            self.best, self.best_step = loss, step
        if self.improved_to is None or loss < self.improved_to - self.min_delta:
            self.improved_to, self.waited = loss, 0
        else:
            self.waited += 1
        return Verdict(
            lowest=lowest,
            stop=self.patience is not None and self.waited >= self.patience,
            overfits=self.overfitting(loss),
        )

    def overfitting(self, valid: float) -> str | None:
        """One sentence with the way out, when validation keeps rising while training falls."""
        train = self.train_sum / self.train_count if self.train_count else self.train_before
        before = self.valid_before, self.train_before
        self.train_sum, self.train_count = 0.0, 0
        self.valid_before, self.train_before = valid, train
        if before[0] is None or before[1] is None or train is None:
            return None
        if valid <= before[0]:
            self.rises = 0
            self.warned = self.warned and valid > self.rose_from[0]
            return None
        if train >= before[1]:
            self.rises = 0
            return None
        if valid <= before[0] * (1 + FLAT):
            return None
        if self.rises == 0 and not self.warned:
            self.rose_from = before[0], before[1]
        self.rises += 1
        if self.rises < OVERFITS_AFTER or self.warned:
            return None
        self.warned = True
        return (
            f"Overfitting: over the last {self.rises} validations validation loss rose from {self.rose_from[0]:.4f} to "
            f"{valid:.4f} while training loss fell from {self.rose_from[1]:.4f} to {train:.4f}. Train for fewer epochs "
            "or with a lower learning_rate, or let early_stopping keep the best step."
        )

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Convergence":
        valid, train = state["rose_from"]
        earlier = {"improved_to": state["best"]}  # earlier checkpoints knew one loss for both
        return cls(**earlier | state | {"rose_from": (valid, train)})


@dataclass
class LossWatch:
    """Training losses that rise far above what they were: the run has blown up. Kept in every checkpoint.

    lowest: mean of a few steps, or the first step's loss. warned: of this episode, which ends when the loss is back.
    """

    lowest: float | None = None
    lowest_step: int = 0
    lately: list[float] = field(default_factory=list)
    warned: bool = False

    def see(self, step: int, loss: float) -> str | None:
        """What is to be said after this step."""
        self.lately = [*self.lately, loss][-LATELY:]
        if self.lowest is None or (len(self.lately) == LATELY and self.mean < self.lowest):
            self.lowest, self.lowest_step = self.mean, step
        if not self.blown_up:
            self.warned = False
            return None
        if self.warned:
            return None
        self.warned = True
        return f"Training blew up: {self.rise}. Cancel the job and start it again with a lower learning_rate."

    @property
    def mean(self) -> float:
        return fmean(self.lately)

    @property
    def blown_up(self) -> bool:
        if self.lowest is None:
            return False
        return self.mean > TIMES * self.lowest and self.mean > self.lowest + RISE

    @property
    def rise(self) -> str:
        """A clause, with the numbers."""
        before = f"{self.lowest:.4f} (about step {self.lowest_step})"
        return f"over the last {len(self.lately)} steps training loss is {self.mean:.4f} on average, up from {before}"
