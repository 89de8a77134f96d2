"""Programming tasks for the reward function `code_tests`: write, debug and translate Python and JavaScript.

    python -m examples.code_tasks > tasks.jsonl
    python -m examples.code_tasks --language python > python_tasks.jsonl

A row holds the `tests` that the completion must pass, and their `language`, which `code_tests` goes by. Rows in
JavaScript need Node.js on the worker. To train on more, add problems to the list.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Language = Literal["python", "javascript"]
SHOWN: dict[Language, str] = {"python": "Python", "javascript": "JavaScript"}


@dataclass(frozen=True)
class Problem:
    """A function by its name, what it does, its parameters, and cases of (arguments, result).

    right and wrong: its body in each language, and one with a mistake that the cases find.
    """

    name: str
    does: str
    parameters: str
    cases: tuple[tuple[list[Any], Any], ...]
    right: dict[Language, str]
    wrong: dict[Language, str]

    def source(self, language: Language, *, mistaken: bool = False) -> str:
        body = (self.wrong if mistaken else self.right)[language]
        if language == "python":
            return f"def {self.name}({self.parameters}):\n" + "\n".join(f"    {line}" for line in body.splitlines())
        return f"function {self.name}({self.parameters}) {{\n" + "\n".join(f"  {x}" for x in body.splitlines()) + "\n}"

    def tests(self, language: Language) -> list[str]:
        if language == "python":
            return [
                f"assert {self.name}({', '.join(map(repr, arguments))}) == {result!r}"
                for arguments, result in self.cases
            ]
        return [
            f"assert.deepStrictEqual({self.name}({', '.join(map(json.dumps, arguments))}), {json.dumps(result)})"
            for arguments, result in self.cases
        ]


PROBLEMS = (
    Problem(
        "double",
        "returns twice the number n",
        "n",
        (([2], 4), ([-1], -2), ([0], 0)),
        {"python": "return n * 2", "javascript": "return n * 2;"},
        {"python": "return n ** 2", "javascript": "return n ** 2;"},
    ),
    Problem(
        "is_palindrome",
        "says whether the text s reads the same backwards",
        "s",
        ((["level"], True), (["levels"], False), ([""], True)),
        {"python": "return s == s[::-1]", "javascript": 'return s === [...s].reverse().join("");'},
        {"python": "return s[0] == s[-1]", "javascript": "return s[0] === s[s.length - 1] && s.length > 0;"},
    ),
    Problem(
        "total_of_even",
        "returns the sum of the even numbers in the list numbers",
        "numbers",
        (([[1, 2, 3, 4]], 6), ([[]], 0), ([[-2, 7]], -2)),
        {
            "python": "return sum(n for n in numbers if n % 2 == 0)",
            "javascript": "return numbers.filter((n) => n % 2 === 0).reduce((sum, n) => sum + n, 0);",
        },
        {
            "python": "return sum(n for n in numbers if n % 2 == 1)",
            "javascript": "return numbers.filter((n) => n % 2 === 0).reduce((sum, n) => sum + n);",
        },
    ),
    Problem(
        "count_words",
        "counts how often each word, parted by single spaces, is in the text s, as an object from word to number",
        "s",
        ((["a b a"], {"a": 2, "b": 1}), (["x"], {"x": 1})),
        {
            "python": (
                'counts = {}\nfor word in s.split(" "):\n    counts[word] = counts.get(word, 0) + 1\nreturn counts'
            ),
            "javascript": (
                "const counts = {};\n"
                'for (const word of s.split(" ")) counts[word] = (counts[word] ?? 0) + 1;\n'
                "return counts;"
            ),
        },
        {
            "python": 'counts = {}\nfor word in s.split(" "):\n    counts[word] = 1\nreturn counts',
            "javascript": 'const counts = {};\nfor (const word of s.split(" ")) counts[word]++;\nreturn counts;',
        },
    ),
    Problem(
        "fibonacci",
        "returns the n-th Fibonacci number, where the 0th is 0 and the first is 1",
        "n",
        (([0], 0), ([1], 1), ([10], 55)),
        {
            "python": "a, b = 0, 1\nfor _ in range(n):\n    a, b = b, a + b\nreturn a",
            "javascript": "let [a, b] = [0, 1];\nfor (let i = 0; i < n; i++) [a, b] = [b, a + b];\nreturn a;",
        },
        {
            "python": "a, b = 0, 1\nfor _ in range(n - 1):\n    a, b = b, a + b\nreturn b",
            "javascript": "let [a, b] = [0, 1];\nfor (let i = 0; i <= n; i++) [a, b] = [b, a + b];\nreturn a;",
        },
    ),
    Problem(
        "merge",
        "merges the two sorted lists one and other into one sorted list",
        "one, other",
        (([[1, 4], [2, 3, 10]], [1, 2, 3, 4, 10]), ([[], [1]], [1])),
        {
            "python": "return sorted(one + other)",
            "javascript": "return [...one, ...other].sort((a, b) => a - b);",
        },
        {
            "python": "return [min(pair) for pair in zip(one, other)]",
            "javascript": "return [...one, ...other].sort();",  # as texts, 10 comes before 2
        },
    ),
)


@dataclass(frozen=True)
class Task:
    """language: of the answer."""

    kind: Literal["write", "debug", "translate"]
    language: Language
    problem: Problem

    @property
    def question(self) -> str:
        name, into = self.problem.name, SHOWN[self.language]
        if self.kind == "write":
            signature = f"{name}({self.problem.parameters})"
            return f"Write the {into} function {signature}. It {self.problem.does}. Answer with one code block."
        if self.kind == "debug":
            given = fenced(self.language, self.problem.source(self.language, mistaken=True))
            return f"This {into} function should do the following: it {self.problem.does}. Mend it.\n\n{given}"
        other = other_than(self.language)
        given = fenced(other, self.problem.source(other))
        return f"Translate this {SHOWN[other]} function into {into}, with the same name.\n\n{given}"

    @property
    def solution(self) -> str:
        return fenced(self.language, self.problem.source(self.language))

    def row(self) -> dict[str, Any]:
        """A dataset row: a prompt, and what `code_tests` needs."""
        return {
            "prompt": self.question,
            "tests": self.problem.tests(self.language),
            "language": self.language,
            "task": self.kind,
        }


def other_than(language: Language) -> Language:
    return "javascript" if language == "python" else "python"


def fenced(language: Language, source: str) -> str:
    return f"```{language}\n{source}\n```"


def tasks() -> Iterator[Task]:
    """Every problem to write, to debug and to translate, with the answer in either language."""
    for problem in PROBLEMS:
        for language in SHOWN:
            for kind in ("write", "debug", "translate"):
                yield Task(kind, language, problem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", choices=list(SHOWN), help="of the answers; unset: both")
    wanted = parser.parse_args().language
    for task in tasks():
        if wanted in (None, task.language):
            print(json.dumps(task.row()))


if __name__ == "__main__":
    main()
