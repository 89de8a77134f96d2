"""Products of two numbers of three digits: the same base, trained for the same steps with a calculator and without.

    python -m bench.tools
    python -m bench.tools --rows 1600 --prompts 0

Both first learn from worked rows (supervised): with the tool a call, what it returns and the answer; without it the
answer alone. Then both are rewarded for right answers (reinforcement), with the tool in rollouts of two turns. The
exam: products that no row had, greedily through the engine; the bench runs the calls, as a client does.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from typing import Any

from openai import OpenAI

from bench._server import server
from examples import running

BASE = "starter"
LEAST = 20.0  # points that the tool is worth
TOKENS = 200  # of all turns and of what the tool returns
NUMBER = {"type": "integer"}
PARAMETERS = {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"]}
FUNCTION: dict[str, Any] = {"name": "multiply", "parameters": PARAMETERS}
TOOLS: list[Any] = [{"type": "function", "function": FUNCTION}]
SOURCE = "def multiply(a, b):\n    return a * b\n"
RIGHT = {
    "type": "string_check",
    "name": "right",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}

Pair = tuple[int, int]
Ask = Callable[[list[Any]], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000, help="worked rows")
    parser.add_argument("--prompts", type=int, default=256, help="prompts of the reinforcement after it; 0: none")
    parser.add_argument("--exam", type=int, default=100)
    options = parser.parse_args()
    pairs = products(options.rows + options.prompts + options.exam)
    with server() as client:
        shares = {}
        for tool in (False, True):
            began = time.monotonic()
            rows = "".join(worked(pair, tool) for pair in pairs[: options.rows])
            model = train(
                client, BASE, rows, {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
            )
            if options.prompts:
                asked = "".join(asking(pair) for pair in pairs[options.rows : options.rows + options.prompts])
                model = train(client, model, asked, rewarded(tool))
            took = time.monotonic() - began
            shares[tool] = 100 * exam(client, model, pairs[-options.exam :], tool)
            print(f"{'with' if tool else 'without'} the tool: {shares[tool]:.1f} % right, {took:.1f} s", flush=True)
    gained = shares[True] - shares[False]
    print(f"the tool is worth {gained:.1f} points; at least {LEAST:g}")
    figures = {"rows": options.rows, "prompts": options.prompts, "exam": options.exam}
    figures |= {"without_right_percent": shares[False], "with_right_percent": shares[True], "gained_points": gained}
    print(json.dumps(figures))


def products(count: int) -> list[Pair]:
    """Different ones, so that the exam has none of the rows'."""
    found: dict[Pair, None] = {}
    rng = random.Random(1)
    while len(found) < count:
        found[(rng.randint(100, 999), rng.randint(100, 999))] = None
    return list(found)


def question(pair: Pair) -> dict[str, Any]:
    return {"role": "user", "content": f"{pair[0]} * {pair[1]}"}


def call(pair: Pair) -> dict[str, Any]:
    arguments = json.dumps({"a": pair[0], "b": pair[1]})
    made = {"id": "call_1", "type": "function", "function": {"name": "multiply", "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [made]}


def worked(pair: Pair, tool: bool) -> str:
    product = str(pair[0] * pair[1])
    used = [call(pair), {"role": "tool", "tool_call_id": "call_1", "content": product}] if tool else []
    row: dict[str, Any] = {"messages": [question(pair), *used, {"role": "assistant", "content": product}]}
    return json.dumps(row | ({"tools": TOOLS} if tool else {})) + "\n"


def asking(pair: Pair) -> str:
    return json.dumps({"messages": [question(pair)], "answer": str(pair[0] * pair[1])}) + "\n"


def rewarded(tool: bool) -> dict[str, Any]:
    hyperparameters = {"max_completion_tokens": TOKENS, "n_epochs": 1}
    method: dict[str, Any] = {"grader": RIGHT, "hyperparameters": hyperparameters}
    if tool:
        method |= {"tools": [{**FUNCTION, "source": SOURCE}]}
        hyperparameters["max_turns"] = 2
    return {"type": "reinforcement", "reinforcement": method}


def train(client: OpenAI, model: str, rows: str, method: Any) -> str:
    """The tuned model. Exits where the job does not succeed."""
    file = running.upload(client, "rows.jsonl", rows.encode())
    job = client.fine_tuning.jobs.create(model=model, training_file=file, method=method, seed=1)
    while (job := client.fine_tuning.jobs.retrieve(job.id)).status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.5)
    if job.fine_tuned_model is None:
        raise SystemExit(f"{job.id}: {job.error}")
    return job.fine_tuned_model


def exam(client: OpenAI, model: str, pairs: list[Pair], tool: bool) -> float:
    """The share of right answers."""
    more: dict[str, Any] = {"tools": TOOLS} if tool else {}

    def ask(messages: list[Any]) -> Any:
        return client.chat.completions.create(
            model=model, messages=messages, temperature=0, max_completion_tokens=TOKENS, **more
        ).choices[0].message  # fmt: skip

    return sum(answer(ask, pair) == str(pair[0] * pair[1]) for pair in pairs) / len(pairs)


def answer(ask: Ask, pair: Pair) -> str | None:
    """After one turn of calls at most."""
    messages: list[Any] = [question(pair)]
    said = ask(messages)
    if said.tool_calls:
        messages.append(said)
        messages += [{"role": "tool", "tool_call_id": each.id, "content": result(each)} for each in said.tool_calls]
        said = ask(messages)
    return None if said.content is None else str(said.content)


def result(made: Any) -> str:
    try:
        arguments = json.loads(made.function.arguments)
        return str(arguments["a"] * arguments["b"])
    except (ValueError, LookupError, TypeError) as error:
        return f"Error: {error}"


if __name__ == "__main__":
    main()
