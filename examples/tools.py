"""Reinforcement with a tool: the starter multiplies three digits by three with a calculator, which it cannot do alone.

    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=fk_… python -m examples.tools

A short lesson on small numbers shows what a call looks like. Then the rewards alone decide: no row says when to call
the tool, or with what. The job runs the tool's source in its sandbox; whoever chats with the tuned model sends the tool
with the request, and runs it.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from openai import OpenAI

from examples import running
from fettle.cli.terminal import printable

BASE = "starter"
NUMBERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}
FUNCTION = {"name": "multiply", "description": "Computes a * b.", "parameters": NUMBERS}
SOURCE = "def multiply(a, b):\n    return a * b\n"
TOOLS: Any = [{"type": "function", "function": FUNCTION}]
REWARDS = ["answer_correct", {"name": "answer_format", "weight": 0.2}]
MAX_TURNS = 3


@dataclass(frozen=True)
class Product:
    a: int
    b: int

    @property
    def question(self) -> str:
        return f"What is {self.a} * {self.b}?"

    @property
    def answer(self) -> str:
        return str(self.a * self.b)


def products(count: int, seed: int, least: int = 100, most: int = 999) -> list[Product]:
    """Each once."""
    rng, found = random.Random(seed), dict.fromkeys([Product(0, 0)])
    while len(found) <= count:
        found[Product(rng.randint(least, most), rng.randint(least, most))] = None
    return list(found)[1:]


def lesson(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Products of one digit: by a call and from its result with the tool, at once without."""
    for number, product in enumerate(products(count, seed, 2, 99)):
        asked = {"role": "user", "content": product.question}
        said = {"role": "assistant", "content": f"<answer>{product.answer}</answer>"}
        if number % 3 == 0:
            yield {"messages": [asked, said]}
            continue
        function = {"name": "multiply", "arguments": json.dumps({"a": product.a, "b": product.b})}
        call = {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
        result = {"role": "tool", "tool_call_id": "call_1", "content": product.answer}
        yield {"messages": [asked, call, result, said], "tools": TOOLS}


def lines(rows: Sequence[dict[str, Any]] | Iterator[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def teach(client: OpenAI, *, rows: int = 300, seed: int = 1, model: str = BASE, **hyperparameters: Any) -> str:
    """The lesson: the id of its job."""
    file = running.upload(client, "lesson.jsonl", lines(lesson(rows, seed)))
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, **hyperparameters}}}
    return client.fine_tuning.jobs.create(model=model, training_file=file, method=method, seed=seed).id


def start(
    client: OpenAI, model: str, *, tools: bool = True, prompts: int = 200, seed: int = 1, **hyperparameters: Any
) -> str:
    """Reinforcement on three digits: the id of its job."""
    rows = [{"prompt": each.question, "answer": each.answer} for each in products(prompts, seed)]
    method: Any = {
        "type": "reinforcement",
        "reinforcement": {
            "reward_functions": REWARDS,
            "hyperparameters": {"n_epochs": 1, "max_completion_tokens": 200, **hyperparameters},
        },
    }
    if tools:
        method["reinforcement"]["tools"] = [{**FUNCTION, "source": SOURCE}]
        method["reinforcement"]["hyperparameters"]["max_turns"] = MAX_TURNS
    file = running.upload(client, "products.jsonl", lines(rows))
    return client.fine_tuning.jobs.create(model=model, training_file=file, method=method, seed=seed).id


def solve(client: OpenAI, model: str, product: Product, *, tools: bool = True) -> str:
    """The model's answer. Its calls are carried out here."""
    messages: list[Any] = [{"role": "user", "content": product.question}]
    offered: Any = {"tools": TOOLS} if tools else {}
    for _ in range(MAX_TURNS):
        answer = client.chat.completions.create(
            model=model, messages=messages, temperature=0, max_tokens=100, **offered
        )
        message = answer.choices[0].message
        if not message.tool_calls:
            break
        messages.append(message)
        for call in message.tool_calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": called(call)})
    return message.content or ""


def called(call: Any) -> str:
    try:
        given = json.loads(call.function.arguments)
        return str(given["a"] * given["b"])
    except (ValueError, KeyError, TypeError) as error:
        return f"Error: {error}"


def right(client: OpenAI, model: str, exam: Sequence[Product], *, tools: bool = True) -> float:
    """The share of products that the model gets right."""
    answers = [solve(client, model, each, tools=tools) for each in exam]
    return sum(f"<answer>{each.answer}</answer>" in said for each, said in zip(exam, answers, strict=True)) / len(exam)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--exam", type=int, default=50, help="held-out products to ask each model")
    options = parser.parse_args()
    client = running.connect()
    taught = running.wait(client, teach(client)).fine_tuned_model or ""
    job = running.wait(client, start(client, taught, prompts=options.prompts, batch_size=8, group_size=4))
    exam = products(options.exam, seed=77)
    for model in (taught, job.fine_tuned_model or ""):
        print(f"{right(client, model, exam):.0%} right with the tool  {printable(model)}")


if __name__ == "__main__":
    main()
