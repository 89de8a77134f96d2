import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.gsm8k import parse, problems
from fettle.datasets.formats.reading import conversations
from fettle.datasets.formats.validation import validate

ROOT = Path(__file__).parent.parent.parent
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k" / "train.jsonl"
needs_the_file = pytest.mark.skipif(not GSM8K.is_file(), reason="GSM8K is not beside the project")

QUESTION = "Tom sells 48 cups in May and half as many in June. How many in all?"
ANSWER = "In June he sells 48/2 = <<48/2=24>>24 cups.\nIn all 48+24 = <<48+24=72>>72.\n#### 72"


def convert(*options: str) -> list[dict[str, str]]:
    command = [sys.executable, "-m", "examples.gsm8k", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [json.loads(row) for row in done.stdout.splitlines()]


def test_the_reasoned_style_keeps_the_steps_without_the_calculators_marks() -> None:
    assert parse(QUESTION, ANSWER).row("reasoned") == {
        "prompt": QUESTION,
        "completion": "<think>In June he sells 48/2 = 24 cups.\nIn all 48+24 = 72.</think><answer>72</answer>",
        "answer": "72",
    }


def test_the_answer_style_blurts_it_out() -> None:
    assert parse(QUESTION, ANSWER).row("answer") == {
        "prompt": QUESTION,
        "completion": "<answer>72</answer>",
        "answer": "72",
    }


@pytest.mark.parametrize(
    ("given", "number"), [("1,234,500", "1234500"), ("-3", "-3"), ("2.50", "2.50"), ("7\n", "7"), ("1,200.5", "1200.5")]
)
def test_answers_lose_their_commas_only(given: str, number: str) -> None:
    assert parse("q", f"steps\n#### {given}").answer == number


@pytest.mark.parametrize("answer", ["72", "steps\n#### seventy", "steps\n####", "steps #### 72", "steps\n#### 72 cups"])
def test_an_answer_without_its_number_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match="####"):
        parse("q", answer)


def test_the_command_skips_and_stops_where_told(tmp_path: Path) -> None:
    file = tmp_path / "gsm8k.jsonl"
    file.write_text("".join(json.dumps({"question": f"q{n}", "answer": f"s\n#### {n}"}) + "\n" for n in range(6)))
    assert [row["prompt"] for row in convert(str(file))] == ["q0", "q1", "q2", "q3", "q4", "q5"]
    assert [row["prompt"] for row in convert(str(file), "--rows", "2", "--skip", "3")] == ["q3", "q4"]
    assert [row["completion"] for row in convert(str(file), "--rows", "1", "--style", "answer")] == [
        "<answer>0</answer>"
    ]


@needs_the_file
@pytest.mark.parametrize("style", ["answer", "reasoned"])
def test_all_of_gsm8k_converts_and_passes_validation(style: str, tmp_path: Path) -> None:
    rows = convert(str(GSM8K), "--style", style)
    assert len(rows) == 7473
    for row in rows:
        think, _, answer = row["completion"].rpartition("<answer>")
        assert answer == f"{row['answer']}</answer>"
        assert re.fullmatch(r"-?\d+(\.\d+)?", row["answer"])
        assert (re.fullmatch(r"<think>\S.*</think>", think, re.DOTALL) is not None) == (style == "reasoned")
        assert "<<" not in row["completion"]
    file = tmp_path / "gsm8k.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = validate(file, max_row_bytes=2**20)
    assert (found.shape, found.rows, found.errors) == ("prompt_completion", 7473, [])
    completions = [conversation.messages[1]["content"] for _, conversation in conversations(file)]
    assert completions == [row["completion"] for row in rows]


@needs_the_file
def test_the_reasoning_of_gsm8k_is_its_own_text_and_loses_the_marks_only() -> None:
    originals = [json.loads(row)["answer"] for row in GSM8K.read_text().splitlines()]
    for problem, original in zip(problems(GSM8K), originals, strict=True):
        steps = original.rpartition("\n####")[0].strip()
        assert "<<" not in problem.reasoning
        assert "".join(re.split(r"<<.*?>>", steps)) == problem.reasoning
