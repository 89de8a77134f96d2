"""How far the step that runs is: for the job's `progress`, and in its events when the step takes long."""

from dataclasses import dataclass, field
from typing import Any

SHOWN_AFTER = 2.0  # seconds into a step; quicker ones need no progress, and cost no writes
STORED_EVERY = 2.0
TOLD_AFTER = 20.0  # seconds without a finished step before an event says so; then after twice as long each time
UNUSUAL = 2.0  # times the longest step so far: where every step is slow, the events do not repeat it

Line = dict[str, Any]
PHASES = {
    "starting": "loading the model and the data",
    "evaluating": "comparing the base model with the tuned one",
    "generating": "writing completions",
    "scoring": "scoring completions",
    "calling": "calling tools",
    "comparing": "comparing completions with the reference model",
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
    entered: float | None = None  # the phase; None: when the step began
    seconds: dict[str, float] = field(default_factory=dict)  # of the step's phases that are done
    stored: float = 0.0
    longest: float = 0.0  # of the steps that are done
    told_after: float = TOLD_AFTER

    def see(self, line: Line, now: float) -> None:
        match line:
            case {"type": "metrics", "step": step, "total_steps": total}:
                self.enter("training" if step < total else "evaluating", now)
                if self.step:  # the first one loads as well
                    self.longest = max(self.longest, now - self.began)
                self.began, self.entered, self.seconds = now, now, {}
                self.told_after = max(TOLD_AFTER, UNUSUAL * self.longest)
                self.step, self.total_steps = step, total
            case {"type": "progress"}:
                self.enter(line["phase"], now)
                self.details = {name: value for name, value in line.items() if name not in ("type", "phase")}
            case {"type": "score", "rollouts": rollouts}:
                self.enter("scoring", now)
                self.details = {"done": 0, "total": len(rollouts), "unit": "completions"}
            case {"type": "call_tools", "calls": calls}:
                self.enter("calling", now)
                self.details = {"done": 0, "total": len(calls), "unit": "tool calls"}
            case {"type": "rollouts"}:
                self.enter("training", now)

    def enter(self, phase: str, now: float) -> None:
        if phase != self.phase:
            self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + now - self.since
            self.phase, self.details, self.entered = phase, {}, now

    @property
    def since(self) -> float:
        """When the phase began."""
        return self.began if self.entered is None else self.entered

    def see_scorer(self, details: Line | None) -> None:
        if details is not None and self.phase in ("scoring", "calling"):
            self.details = details

    @property
    def current(self) -> int | None:
        """The step that runs; None after the last one."""
        return None if self.total_steps is not None and self.step >= self.total_steps else self.step + 1

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
            **self.slowest(now),
            "seconds": round(now - self.began, 1),
        }

    def to_tell(self, now: float) -> tuple[str, Line] | None:
        """A sentence and its data, when the step has taken so long that an event is due."""
        seconds = now - self.began
        if seconds < self.told_after:
            return None
        self.told_after *= 2
        data = {"step": self.current, "phase": self.phase, "seconds": round(seconds, 1), **self.details}
        data |= self.slowest(now)
        what = "The evaluation" if self.current is None else f"Step {self.current}"
        return f"{what} has taken {seconds:.0f} s so far. {self.sentence(data.get('slow'))}", data

    def slowest(self, now: float) -> Line:
        """What takes long, where the scorer does not say it: the phase of this step that has had the most time."""
        if "slow" in self.details or not self.seconds:
            return {}
        seconds = {**self.seconds, self.phase: self.seconds.get(self.phase, 0.0) + now - self.since}
        phase = max(seconds, key=seconds.__getitem__)
        return {"slow": f"{PHASES[phase]} ({seconds[phase]:.0f} s)"}

    def sentence(self, slow: str | None) -> str:
        found = self.details
        doing = f"The job is {PHASES[self.phase]}"
        if "done" in found:
            doing += f": {found['done']:,} of {found['total']:,} {found['unit']} done"
        if found.get("rate"):
            doing += f", {found['rate']:,.0f} tokens/s"
        return f"{doing}." + (f" The slowest part is {slow}." if slow else "")
