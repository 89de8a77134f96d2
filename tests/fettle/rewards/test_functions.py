"""The built-in reward functions: every example of the page is true, and each one's hard cases."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from fettle.errors import InvalidRequest
from fettle.rewards import FUNCTIONS, Graders, Sample, SampleScores, check
from fettle.rewards.functions.function import Example
from fettle.rewards.sandbox import SandboxError, languages, walls_of

EXAMPLES = [
    (n, example) for n, function in FUNCTIONS.items() for example in function.examples if not function.judge_kind
]


def score(name: str, completion: str, item: dict[str, Any] | None = None, **parameters: Any) -> SampleScores:
    graders = check(reward_functions=[{"name": name, "parameters": parameters}])
    with Graders(graders) as opened:
        return opened.score([Sample("", completion, item or {})])[0]


def value(name: str, completion: str, item: dict[str, Any] | None = None, **parameters: Any) -> float | None:
    return score(name, completion, item, **parameters).reward


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[f"{n}-{e.completion[:30]}" for n, e in EXAMPLES])
def test_the_examples_of_the_list_are_true(name: str, example: Example) -> None:
    assert value(name, example.completion, example.item, **example.parameters) == pytest.approx(example.value)


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.judge_kind])
def test_what_asks_a_model_has_examples_that_can_be_asked_for_and_names_the_model_in_its_parameters(name: str) -> None:
    for example in FUNCTIONS[name].examples:
        check(reward_functions=[{"name": name, "parameters": example.parameters}])
        assert example.value is None
        assert example.item["prompt"]
        assert "model" in example.parameters


class TestAnswerCorrect:
    @pytest.mark.parametrize(
        ("completion", "answer", "right"),
        [
            ("<answer>42</answer>", "42", 1.0),
            ("<answer>42.0</answer>", 42, 1.0),
            ("<answer>-3</answer>", "−3", 1.0),
            ("<answer>1,000,000</answer>", "1000000", 1.0),
            ("<answer>3/4</answer>", "0.75", 1.0),
            ("<answer>50%</answer>", "0.5", 1.0),
            ("<answer>$12.50</answer>", "12.5", 1.0),
            ("<answer>12 apples</answer>", "12", 1.0),
            ("<answer>x = 7</answer>", "7", 1.0),
            ("<answer>0.3333333</answer>", "1/3", 1.0),
            ("<answer>0.33</answer>", "1/3", 0.0),
            ("<answer></answer>", "", 0.0),
            ("<answer>1 2 3 4 5</answer>", "5", 0.0),
            ("<think>42</think><answer>41</answer>", "42", 0.0),
            ("<answer>41</answer><answer>42</answer>", "42", 1.0),
            ("48 / 2 = 24, and 48 + 24 = 72", "… 48+24 = <<48+24=72>>72\n#### 72", 1.0),
            ("<answer>Paris</answer>", "paris", 1.0),
            ("no number at all", "42", 0.0),
            ("<answer>1/0</answer>", "42", 0.0),
            ("<answer>silent</answer>", "listen", 0.0),
            ("<answer>on</answer>", "No", 0.0),
        ],
    )
    def test_numbers_are_compared_as_numbers(self, completion: str, answer: Any, right: float) -> None:
        assert value("answer_correct", completion, {"answer": answer}) == right

    @pytest.mark.slow
    def test_latex_is_compared_as_mathematics_and_a_tower_of_powers_is_ended(self) -> None:
        graders = check(reward_functions=["answer_correct"])
        pairs = [("2\\sqrt{2}", "\\sqrt{8}", 1.0), ("(1, 2)", "(1,2)", 1.0), ("\\frac{1}{3}", "0.5", 0.0)]
        samples = [Sample("", f"<answer>{given}</answer>", {"answer": wanted}) for given, wanted, _ in pairs]
        tower = Sample("", "<answer>9^{9^{9^{9}}} - x</answer>", {"answer": "\\sqrt{8}"})
        with Graders(graders) as opened:
            assert [one.reward for one in opened.score(samples)] == [right for _, _, right in pairs]
            begun = time.monotonic()
            assert opened.score([tower])[0].reward != 1.0
            assert time.monotonic() - begun < 60
            assert opened.score(samples[:1])[0].reward == 1.0

    def test_a_row_without_a_reference_is_an_error_that_names_the_way_out(self) -> None:
        failure = score("answer_correct", "42").errors["answer_correct"]
        assert failure.flag == "invalid_variable_error" and "name the reference's key" in failure.message

    def test_the_references_key_can_be_named(self) -> None:
        assert value("answer_correct", "42", {"truth": "42", "answer": "1"}, reference="truth") == 1.0


class TestRegex:
    def test_a_pattern_that_backtracks_for_ever_is_ended(self) -> None:
        begun = time.monotonic()
        graded = score("regex", "a" * 40 + "b", pattern=r"(a|a)*(a|a)*(a|a)*(a|a)*c\1\2")
        assert time.monotonic() - begun < 60
        assert graded.reward in (None, 0.0)

    @pytest.mark.parametrize(
        "pattern",
        [
            "(",
            "(" * 1000,
            "\\L<names>",
            "a{9999999}",
            "(?:a{999}){999}",
            "(?x)(?:ab) # more\n{9999999}",
            "(?:ab){ 9999999 }",
        ],
    )
    def test_one_that_cannot_be_read_or_would_fill_the_memory_is_refused(self, pattern: str) -> None:
        with pytest.raises(InvalidRequest, match="not a valid pattern"):
            check(reward_functions=[{"name": "regex", "parameters": {"pattern": pattern}}])

    def test_counts_that_people_write_are_taken(self) -> None:
        uuid = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
        assert value("regex", "so 123e4567-e89b-12d3-a456-426614174000", pattern=rf"{uuid}|{uuid}") == 1.0


class TestJsonSchema:
    def test_json_in_a_fence_counts_unless_it_must_be_bare(self) -> None:
        fenced = '```json\n{"a": 1}\n```'
        assert (value("json_schema", fenced), value("json_schema", fenced, bare=True)) == (1.0, 0.0)

    def test_a_fence_that_never_ends_takes_no_time(self) -> None:
        begun = time.monotonic()
        assert value("json_schema", "```" + " " * 3000) == 0.0  # took 20 s
        assert time.monotonic() - begun < 15

    def test_a_pattern_of_the_schema_that_would_fill_the_memory_is_refused(self) -> None:
        with pytest.raises(InvalidRequest, match=r"not a valid pattern.*100,000 times"):
            score("json_schema", '"aa"', json_schema={"pattern": "a{9999999}"})

    def test_nothing_is_fetched(self) -> None:
        graded = score("json_schema", "{}", json_schema={"$ref": "http://127.0.0.1:1/schema.json"})
        assert graded.reward is None and "cannot be applied" in graded.errors["json_schema"].message

    @pytest.mark.parametrize("schema", [{"type": "sorcery"}, {"patternProperties": {}}])
    def test_a_schema_that_cannot_be_used_is_refused(self, schema: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequest, match=r"json_schema"):
            check(reward_functions=[{"name": "json_schema", "parameters": {"json_schema": schema}}])


class TestTrouble:
    def test_a_librarys_trouble_with_one_sample_costs_no_other(self) -> None:
        endless = {"$ref": "#"}
        schema = {"anyOf": [{"type": "integer"}, endless]}
        graders = check(reward_functions=[{"name": "json_schema", "parameters": {"json_schema": schema}}])
        with Graders(graders) as opened:
            bad, good = opened.score([Sample("", '"text"'), Sample("", "4")])
        assert (bad.reward, good.reward) == (None, 1.0)
        assert bad.errors["json_schema"].flag == "other_error"


class TestStepsCorrect:
    @pytest.mark.parametrize(
        ("reasoning", "share"),
        [
            ("3 + 4 = 7", 1.0),
            ("3 + 4 = 8", 0.0),
            ("He has 3 + 4 = 7 apples and 7 - 2 = 4 pears", 0.5),
            ("<<48/2=24>>24, so 48 + 24 = 72.", 1.0),
            ("$1,000 × 2 = $2,000", 1.0),
            ("2^3 = 8", 1.0),
            ("10 / 4 = 2.5", 1.0),
            ("1 / 0 = 5", 0.0),
            ("4 = 4", 0.0),
            ("x = 4", 0.0),
        ],
    )
    def test_each_equation_counts(self, reasoning: str, share: float) -> None:
        assert value("steps_correct", f"<think>{reasoning}</think>", partial=True) == share

    def test_a_completion_of_nothing_but_digits_takes_no_time(self) -> None:
        begun = time.monotonic()
        assert value("steps_correct", "<think>" + "1" * 20_000) == 0.0  # as policies write that have lost their way
        assert time.monotonic() - begun < 60


class TestCodeTests:
    TESTS = ("assert f(1) == 2",)

    @pytest.mark.parametrize(
        "code",
        [
            "while True: pass",
            "import os; os._exit(0)",
            "raise SystemExit(0)",
            "import socket; socket.create_connection(('127.0.0.1', 1))\ndef f(n): return 2",
            "def f(n): return open('/etc/passwd').read()",
            "not python",
            "",
        ],
    )
    def test_code_that_does_not_pass_scores_0_and_harms_no_other(self, code: str) -> None:
        graders = check(reward_functions=[{"name": "code_tests", "parameters": {"seconds": 0.5}}])
        item = {"tests": list(self.TESTS)}
        with Graders(graders) as opened:
            scores = opened.score([Sample("", code, item), Sample("", "def f(n): return n + 1", item)])
        assert [one.reward for one in scores] == [0.0, 1.0]

    def test_what_went_wrong_is_in_what_it_printed(self) -> None:
        assert (
            "test 1: AssertionError" in score("code_tests", "def f(n): return n", {"tests": list(self.TESTS)}).printed
        )

    def test_rows_without_tests_are_an_error(self) -> None:
        assert score("code_tests", "x").reward is None

    @pytest.mark.parametrize(
        ("completion", "passes"),
        [
            ("```python\ndef f(n): return n + 1\n```", 1.0),
            ("```py\ndef g(n): return n\n```\nand\n```python\ndef f(n): return g(n) + 1\n```", 1.0),
            ("```\ndef f(n): return n + 1\n```", 1.0),
            ("From\n```javascript\nconst f = (n) => n + 1;\n```\nto\n```python\ndef f(n): return n + 1\n```", 1.0),
            ("```python\ndef f(n): return n + 1\n```\nUse it so:\n```\n$ python f.py\n```", 1.0),
            ("<think>```python\ndef f(n): return n + 1\n```</think>def f(n): return n", 0.0),
            ("```javascript\nconst f = (n) => n + 1;\n```", 0.0),
        ],
    )
    def test_the_fences_that_name_the_language_are_the_code(self, completion: str, passes: float) -> None:
        assert value("code_tests", completion, {"tests": list(self.TESTS)}) == passes


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
class TestCodeTestsInJavaScript:
    TESTS = ("assert.strictEqual(f(1), 2)", "assert.deepStrictEqual([f(0)], [1]); // a comment at the end")

    @pytest.mark.parametrize(
        ("completion", "passes"),
        [
            ("```javascript\nfunction f(n) { return n + 1; }\n```", 1.0),
            ("```js\nconst f = (n) => n + 1;\n```", 1.0),
            ("const f = async (n) => n + 1;", 0.0),
            ("const source = 1, grade = 1, name = 1, fs = 1, send = 1; const f = (n) => n + grade;", 1.0),
            ("const assert = require('assert'); const f = (n) => n + 1; module.exports = { f };", 1.0),
            ("function f(n) { for (;;); }", 0.0),
            ("process.exit(0)", 0.0),
            ("require('fs').readFileSync('/etc/passwd'); const f = (n) => n + 1;", 0.0),
            ("require('child_process').execSync('true'); const f = (n) => n + 1;", 0.0),
            ("setTimeout(() => { throw 1; }, 0); const f = (n) => n + 1;", 1.0),
            ("def f(n): return n + 1", 0.0),
            ("", 0.0),
        ],
    )
    def test_code_passes_or_does_not(self, completion: str, passes: float) -> None:
        item = {"tests": list(self.TESTS)}
        assert value("code_tests", completion, item, language="javascript", seconds=4.0) == passes

    def test_a_row_may_name_its_language_and_a_parameter_goes_before_it(self) -> None:
        item = {"tests": ["assert.ok(f(1) === 2)"], "language": "javascript"}
        completion = "const f = (n) => n + 1;"
        assert value("code_tests", completion, item) == 1.0
        assert value("code_tests", completion, item, language="python") == 0.0
        assert (
            "one of: python, javascript"
            in score("code_tests", "", {**item, "language": "basic"}).errors["code_tests"].message
        )

    def test_a_test_may_await_and_a_share_may_count(self) -> None:
        item = {"tests": ["assert.strictEqual(await f(1), 2)", "assert.strictEqual(f(1), 2)"]}
        completion = "const f = async (n) => n + 1;"
        assert value("code_tests", completion, item, language="javascript", partial=True) == 0.5

    def test_what_went_wrong_is_in_what_it_printed(self) -> None:
        said = score(
            "code_tests",
            "console.log('hm'); const f = (n) => n;",
            {"tests": ["f(1) === 2 || x"]},
            language="javascript",
        )
        assert said.printed.startswith("hm\ntest 1: ReferenceError: x is not defined")


def test_without_node_javascript_is_refused_when_it_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    languages.node_and_libraries.cache_clear()
    walls_of.cache_clear()
    try:
        with pytest.raises(
            SandboxError, match=r"no 'node' on its PATH\. Install Node\.js 18 or later on the worker, or use Py"
        ):
            score("code_tests", "", {"tests": ["1"]}, language="javascript")
        said = score("code_tests", "", {"tests": ["1"], "language": "javascript"})
        assert "Install Node.js" in said.errors["code_tests"].message
    finally:
        languages.node_and_libraries.cache_clear()
        walls_of.cache_clear()


class TestLogicSteps:
    def test_a_puzzle_that_is_too_large_is_an_error(self) -> None:
        item = {"variables": {f"v{n}": list(range(10)) for n in range(6)}, "constraints": []}
        assert "more than 50,000" in score("logic_steps", "", item).errors["logic_steps"].message

    def test_constraints_are_never_run(self) -> None:
        item = {"variables": {"x": [1]}, "constraints": ["__import__('os').system('true')"]}
        assert "not supported in a constraint" in score("logic_steps", "x = 1", item).errors["logic_steps"].message
