"""Does the code that the completion holds pass the row's tests? It runs in the sandbox, a fresh one for each sample."""

from collections.abc import Sequence

from pydantic import Field

from fettle.rewards.functions.function import Example, Means, Parameters, RewardFunction
from fettle.rewards.samples import Failure, Mark, Sample, failed
from fettle.rewards.sandbox import Limits, Sandbox, SandboxError

HARNESS = '''
import re

def grade(sample, item):
    """The share of the tests that pass."""
    blocks = re.findall(r"```(?:python|py)?[ \\t]*\\n(.*?)```", sample, re.DOTALL)
    space = {"__name__": "completion"}
    try:
        exec(compile("\\n".join(blocks) or sample, "<completion>", "exec"), space)
    except BaseException as error:
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
'''


class CodeTests(Parameters):
    """tests: the row's key with the tests: a text of Python statements, or a list of such texts, each of which passes
    when it raises nothing. partial: the share of the tests that pass; else all must. seconds: for one completion, its
    tests included; running out of them scores 0."""

    tests: str = "tests"
    partial: bool = False
    seconds: float = Field(5.0, gt=0, le=120)


class CodeGrader:
    def __init__(self, parameters: CodeTests, means: Means) -> None:
        self.parameters = parameters
        self.limits = Limits(min(parameters.seconds, means.limits.seconds), means.limits.memory_bytes)

    def grade(self, samples: Sequence[Sample]) -> list[Mark]:
        return [self._mark(sample) for sample in samples]

    def _mark(self, sample: Sample) -> Mark:
        tests = sample.item.get(self.parameters.tests)
        tests = [tests] if isinstance(tests, str) else tests
        if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
            return failed(
                "invalid_variable_error",
                f"item has no tests under {self.parameters.tests!r}: a text, or a list of texts",
            )
        code = sample.completion.rpartition("</think>")[2].replace("<answer>", "").replace("</answer>", "")
        try:
            with Sandbox(HARNESS, self.limits) as sandbox:
                (verdict,) = sandbox.grade([(code, tests)])
        except SandboxError as error:
            return Mark(None, Failure("python_grader_server_error", str(error)))
        if verdict.value is None or not 0.0 <= verdict.value <= 1.0:  # it ran for ever, ended its process, or cheated
            return Mark(0.0, printed=verdict.printed + (verdict.error or ""))
        share = verdict.value
        return Mark(share if self.parameters.partial else float(share == 1.0), printed=verdict.printed)

    def close(self) -> None: ...


TESTS = ["assert double(2) == 4", "assert double(-1) == -2"]
CODE_TESTS = RewardFunction(
    description=(
        "1 when the completion's Python (in its code fences, else all of it) passes every test of the row, else 0. "
        "The standard library only."
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
