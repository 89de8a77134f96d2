"""Puzzles with one solution, for the reward function `logic_steps`: who has which animal, or which day, or which house?

    python -m examples.logic_puzzles --rows 800 > train.jsonl
    python -m examples.logic_puzzles --rows 100 --split held_out > valid.jsonl

A row holds the `variables` with their possible values and the `constraints` that the clues are, as the function reads
them. The two splits share no puzzle: a checksum of its text decides which split it belongs to.
"""

import argparse
import json
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any, Literal

Split = Literal["train", "held_out"]
World = Mapping[str, str | int]
HELD_OUT_SHARE = 10  # one puzzle in ten

NAMES = ["Ann", "Ben", "Cleo", "Dan", "Eva", "Finn"]
FORM = (
    "Reason between <think> and </think>, in claims such as '{0} is not {1}' or '{0} is {1}'. "
    "Then give everybody's {what}: <answer>{0} = …, {2} = …, …</answer>"
)
# What is asked, and the values that there are
KINDS: dict[str, list[str] | list[int]] = {
    "animal": ["cat", "dog", "fish", "owl"],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday"],
    "house": [1, 2, 3, 4],
}


@dataclass(frozen=True)
class Clue:
    """What a reader is told, how `logic_steps` reads it, and whether it holds."""

    text: str
    constraint: str
    holds: Callable[[World], bool]


@dataclass(frozen=True)
class Puzzle:
    kind: str
    values: tuple[str | int, ...]
    clues: tuple[Clue, ...]
    solution: World

    @property
    def question(self) -> str:
        names = list(self.solution)
        everybody = f"{', '.join(names[:-1])} and {names[-1]}"
        whose = f"{everybody} each have another {self.kind}: {', '.join(map(str, self.values))}."
        form = FORM.format(names[0], self.values[0], names[1], what=self.kind)
        return " ".join([whose, *(clue.text for clue in self.clues), f"Who has which {self.kind}?", form])

    @property
    def reasoning(self) -> str:
        """What can be ruled out, and what is left."""
        claims = []
        for name, value in self.solution.items():
            claims += [f"{name} is not {other}." for other in self.values if other != value]
            claims.append(f"So {name} is {value}.")
        return " ".join(claims)

    @property
    def answer(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.solution.items())

    def row(self) -> dict[str, Any]:
        """A dataset row: a prompt, and what `logic_steps` needs."""
        distinct = [f"{one} != {other}" for one, other in combinations(self.solution, 2)]
        return {
            "prompt": self.question,
            "variables": {name: list(self.values) for name in self.solution},
            "constraints": [*distinct, *(clue.constraint for clue in self.clues)],
        }


def clues_of(kind: str, solution: World) -> list[Clue]:
    """Everything that may be told about a solution."""
    found = []
    for name, value in solution.items():
        for other in solution.values():
            if other != value:
                found.append(
                    Clue(f"{name} does not have {shown(kind, other)}.", f"{name} != {other!r}", differs(name, other))
                )
    for one, other in permutations(solution, 2):
        ours, theirs = solution[one], solution[other]
        if isinstance(ours, int) and isinstance(theirs, int) and ours < theirs:
            found.append(Clue(f"{one}'s number is below {other}'s.", f"{one} < {other}", below(one, other)))
        for wrong in solution.values():
            if wrong not in (ours, theirs):
                text = f"{one} has {shown(kind, ours)} or {other} has {shown(kind, wrong)}."
                constraint = f"{one} == {ours!r} or {other} == {wrong!r}"
                found.append(Clue(text, constraint, either(one, ours, other, wrong)))
    return found


def shown(kind: str, value: str | int) -> str:
    return f"the {value}" if kind == "animal" else f"house {value}" if kind == "house" else str(value)


def differs(name: str, value: str | int) -> Callable[[World], bool]:
    return lambda world: world[name] != value


def below(one: str, other: str) -> Callable[[World], bool]:
    return lambda world: int(world[one]) < int(world[other])


def either(one: str, ours: str | int, other: str, wrong: str | int) -> Callable[[World], bool]:
    return lambda world: world[one] == ours or world[other] == wrong


def draw(rng: random.Random) -> Puzzle:
    """Clues are told until one solution is left, and those that tell nothing new are left out."""
    kind = rng.choice(list(KINDS))
    size = rng.choice([3, 3, 4])
    names = sorted(rng.sample(NAMES, size))
    values = KINDS[kind][:size]
    worlds: list[World] = [dict(zip(names, order, strict=True)) for order in permutations(values)]
    solution = rng.choice(worlds)
    told: list[Clue] = []
    pool = clues_of(kind, solution)
    for clue in rng.sample(pool, len(pool)):
        left = [world for world in worlds if clue.holds(world)]
        if len(left) < len(worlds):
            told.append(clue)
            worlds = left
        if len(worlds) == 1:
            break
    return Puzzle(kind, tuple(values), tuple(told), solution)


def puzzles(split: Split, seed: int) -> Iterator[Puzzle]:
    """An endless stream of puzzles of one split."""
    rng = random.Random(seed)
    while True:
        puzzle = draw(rng)
        if (zlib.crc32(puzzle.question.encode()) % HELD_OUT_SHARE == 0) == (split == "held_out"):
            yield puzzle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--split", choices=["train", "held_out"], default="train")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stream = puzzles(options.split, options.seed)
    for _ in range(options.rows):
        print(json.dumps(next(stream).row()))


if __name__ == "__main__":
    main()
