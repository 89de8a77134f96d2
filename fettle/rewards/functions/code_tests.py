"""Does the code that the completion holds pass the row's tests? It runs in the sandbox, a fresh one for each sample."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from fettle.rewards.functions.function import Example, Parameters, Resources, RewardFunction
from fettle.rewards.samples import Failure, Sample, Score, no_score
from fettle.rewards.sandbox import Limits, Sandbox, SandboxError, level

# Each gives the share of the tests that pass
PYTHON = """
def grade(sample, item):
    space = {"__name__": "completion"}
    try:
        exec(compile(sample, "<completion>", "exec"), space)
    except BaseException as error:  # SystemExit is the completion's as well
        print(f"{type(error).__name__}: {error}")
        return 0.0
    passed = 0
    for number, test in enumerate(item, 1):
        try:
            exec(compile(test, f"<test {number}>", "exec"), dict(space))
            passed += 1
        except BaseException as error:
            print(f"test {number}: {type(error).__name__}: {error}")
    return passed / len(item)
"""
JAVASCRIPT = r"""
globalThis.grade = async (sample, item) => {
  const run = vm.runInThisContext;
  try {
    run(sample, { filename: "<completion>" });
  } catch (error) {
    console.log(String(error));
    return 0;
  }
  let passed = 0;
  for (const [index, test] of item.entries()) {
    try {
      await run(`(async () => {${test}\n})()`, { filename: `<test ${index + 1}>` });
      passed += 1;
    } catch (error) {
      console.log(`test ${index + 1}: ${error}`);
    }
  }
  return passed / item.length;
};
"""
HARNESSES = {"python": PYTHON, "javascript": JAVASCRIPT}
FENCE = re.compile(r"```([^\s`]*)[^\n`]*\n(.*?)```", re.DOTALL)
TAGS = {"python": {"python", "py", "python3"}, "javascript": {"javascript", "js", "node"}}


class CodeTests(Parameters):
    """tests: the row's key with the tests: a text of statements, or a list of such texts, each of which passes when it
    raises nothing. language: of code and tests; unset: what the row says under 'language', else python. JavaScript
    needs Node.js on the worker; its tests have Node's `assert`, and may await. partial: the share of the tests that
    pass; else all must. seconds: for one completion, its tests included; running out of them scores 0."""

    tests: str = "tests"
    language: Literal["python", "javascript"] | None = None
    partial: bool = False
    seconds: float = Field(5.0, gt=0, le=120)


class CodeGrader:
    """Raises SandboxError when the language that was asked for cannot be run here."""

    def __init__(self, parameters: CodeTests, resources: Resources) -> None:
        self.parameters = parameters
        self.limits = Limits(min(parameters.seconds, resources.limits.seconds), resources.limits.memory_bytes)
        if parameters.language is not None:
            level(parameters.language)

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        tests = sample.item.get(self.parameters.tests)
        tests = [tests] if isinstance(tests, str) else tests
        if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
            return no_score(
                "invalid_variable_error",
                f"item has no tests in {self.parameters.tests!r}. Use a string or a list of strings.",
            )
        language = self.parameters.language or sample.item.get("language", "python")
        if language not in HARNESSES:
            return no_score(
                "invalid_variable_error",
                f"item has the unsupported language {language!r}. Use one of: {', '.join(HARNESSES)}.",
            )
        try:
            with Sandbox(HARNESSES[language], self.limits, language=language) as sandbox:
                (result,) = sandbox.grade([(code_of(sample.completion, language), tests)])
        except SandboxError as error:
            return Score(None, Failure("python_grader_server_error", str(error)))
        if result.value is None or not 0.0 <= result.value <= 1.0:  # it ran for ever, ended its process, or cheated
            return Score(0.0, printed=result.printed + (result.error or ""))
        share = result.value
        return Score(share if self.parameters.partial else float(share == 1.0), printed=result.printed)

    def close(self) -> None: ...


def code_of(completion: str, language: str) -> str:
    """The fences that name the language; else those that name none; else all that follows the reasoning."""
    answer = completion.rpartition("</think>")[2].replace("<answer>", "").replace("</answer>", "")
    fences = [(tag.lower(), code) for tag, code in FENCE.findall(answer)]
    named = [code for tag, code in fences if tag in TAGS[language]]
    return "\n".join(named or [code for tag, code in fences if not tag]) or answer


TESTS = ["assert double(2) == 4", "assert double(-1) == -2"]
CODE_TESTS = RewardFunction(
    description=(
        "1 when the completion's Python or JavaScript (in its code fences, else all of it) passes every test of the "
        "row, else 0: to write, mend or translate code. The standard library only."
    ),
    parameters=CodeTests,
    examples=(
        Example("```python\ndef double(n):\n    return n * 2\n```", 1.0, {"tests": TESTS}, {}),
        Example("def double(n):\n    return n * n", 0.0, {"tests": TESTS}, {}),
        Example("def double(n):\n    return n * n", 0.5, {"tests": TESTS}, {"partial": True}),
    ),
    open=CodeGrader,
    sandboxed=True,
)
