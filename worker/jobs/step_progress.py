"""How far the step that runs is: for the job's `progress`, and in its events when the step takes long."""

from dataclasses import dataclass, field
from typing import Any

SHOWN_AFTER = 2.0  # seconds into a step; quicker ones need no progress, and cost no writes
STORED_EVERY = 2.0
TOLD_AFTER = 20.0  # seconds without a finished step before an event says so; then after twice as long each time

Line = dict[str, Any]
PHASES = {
    "starting": "loading the model and the data",
    "evaluating": "comparing the base model with the tuned one",
    "generating": "writing completions",
    "scoring": "scoring completions",
    "training": "training",
}


@dataclass
class StepProgress:
    """Fed with the child's and the scorer's lines. Times are of a monotonic clock, in seconds."""

    began: float  # the step
    step: int = 0  # the last one that is done
    total_steps: int | None = None
    phase: str = "starting"
    details: Line = field(default_factory=dict)  # done, total, unit, rate, slow
    stored: float = 0.0
    told_after: float = TOLD_AFTER

    def see(self, line: Line, now: float) -> None:
        match line:
            case {"type": "metrics", "step": step, "total_steps": total}:
                self.step, self.total_steps = step, total
                self.began, self.told_after = now, TOLD_AFTER
                self.enter("training" if step < total else "evaluating")
            case {"type": "progress"}:
                self.enter(line["phase"])
                self.details = {name: value for name, value in line.items() if name not in ("type", "phase")}
            case {"type": "score", "rollouts": rollouts}:
                self.enter("scoring")
                self.details = {"done": 0, "total": len(rollouts), "unit": "completions"}
            case {"type": "rollouts"}:
                self.enter("training")

    def enter(self, phase: str) -> None:
        if phase != self.phase:
            self.phase, self.details = phase, {}

    def see_scorer(self, details: Line | None) -> None:
        if details is not None and self.phase == "scoring":
            self.details = details

    @property
    def current(self) -> int | None:
        """The step that runs; None after the last one."""
        return None if self.phase == "evaluating" else self.step + 1

    def to_store(self, now: float) -> Line | None:
        """What the job shows, when it is time to store it again."""
        if now - self.began < SHOWN_AFTER or now - self.stored < STORED_EVERY:
            return None
        self.stored = now
        return {
            "step": self.current,
            "total_steps": self.total_steps,
            "phase": self.phase,
            **self.details,
            "seconds": round(now - self.began, 1),
        }

    def to_tell(self, now: float) -> tuple[str, Line] | None:
        """A sentence and its data, when the step has taken so long that an event is due."""
        seconds = now - self.began
        if seconds < self.told_after:
            return None
        self.told_after *= 2
        data = {"step": self.current, "phase": self.phase, "seconds": round(seconds, 1), **self.details}
        what = "The evaluation" if self.current is None else f"Step {self.current}"
        return f"{what} has taken {seconds:.0f} s so far. {self.sentence()}", data

    def sentence(self) -> str:
        found = self.details
        doing = f"The job is {PHASES[self.phase]}"
        if "done" in found:
            doing += f": {found['done']:,} of {found['total']:,} {found['unit']} done"
        if found.get("rate"):
            doing += f", {found['rate']:,.0f} tokens/s"
        slow = f" The slowest part is {found['slow']}." if found.get("slow") else ""
        return f"{doing}.{slow}"
