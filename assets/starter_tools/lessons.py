"""Conversations in which a tool is called, for the starter's adapter for tools: the same seed, the same text."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from examples.word_problems import problems

Row = dict[str, Any]

PLAIN_SHARE = 0.05  # word problems without tools, so that the starter keeps answering them
UNUSED_SHARE = 0.08  # word problems beside tools that do not help
ANSWERED_SHARE = 0.3  # the tool has answered already
CITIES = (
    *("Paris", "Rome", "Oslo", "Cairo", "Lima", "Kyoto", "Delhi", "Quito", "Sofia", "Riga", "Bern", "Accra"),
    *("London", "Berlin", "Madrid", "Tokyo", "Boston"),
)
SYLLABLES = [
    "ba",
    "be",
    "bo",
    "da",
    "de",
    "di",
    "ka",
    "ke",
    "ko",
    "la",
    "le",
    "li",
    "lo",
    "ma",
    "me",
    "mi",
    "na",
    "ne",
    "no",
    "pa",
    "pe",
    "po",
    "ra",
    "re",
    "ri",
    "ro",
    "sa",
    "se",
    "so",
    "ta",
    "te",
    "ti",
    "to",
    "va",
    "vi",
]
OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


@dataclass(frozen=True)
class Topic:
    """A function that is asked for. asks: with a {word} to copy; unit: what a second parameter may be."""

    name: str
    description: str
    parameter: str
    asks: tuple[str, ...]
    unit: tuple[str, tuple[str, ...]] | None = None


TOPICS = (
    Topic(
        "get_weather",
        "Weather of a city.",
        "city",
        ("What is the weather in {word}?", "How warm is it in {word}?", "Tell me the weather in {word}."),
        ("unit", ("c", "f")),
    ),
    Topic("get_time", "Time in a city.", "city", ("What time is it in {word}?", "Tell me the time in {word}.")),
    Topic(
        "get_price",
        "Price of a product.",
        "product",
        ("How much is {word}?", "What is the price of {word}?", "What does {word} cost?"),
        ("currency", ("EUR", "USD")),
    ),
    Topic("search", "Searches documents.", "query", ("Search for {word}.", "Find {word}.", "Look up {word}.")),
    Topic("find_order", "State of an order.", "order_id", ("Where is order {word}?", "Has order {word} been sent?")),
    Topic("get_user", "Data of a user.", "name", ("Who is {word}?", "Find the user {word}.", "Show me user {word}.")),
    Topic("translate", "Translates a word.", "text", ("Translate {word}.", "What does {word} mean?")),
    Topic("play_song", "Plays a song.", "title", ("Play {word}.", "I want to hear {word}.")),
    Topic("send_message", "Sends a message.", "to", ("Send a message to {word}.", "Write to {word}.")),
    Topic("book_table", "Books a table.", "restaurant", ("Book a table at {word}.", "I want to eat at {word}.")),
)


def word(rng: random.Random) -> str:
    """Something to copy: a city, a made-up name, or a number."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(CITIES)
    if kind < 0.8:
        made = "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))
        return made.capitalize() if rng.random() < 0.7 else made
    return str(rng.randint(10, 99_999))


def function(name: str, description: str, properties: Row, required: list[str]) -> Row:
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def tool_of(topic: Topic) -> Row:
    properties: Row = {topic.parameter: {"type": "string"}}
    if topic.unit:
        properties[topic.unit[0]] = {"type": "string", "enum": list(topic.unit[1])}
    return function(topic.name, topic.description, properties, list(properties))


def asked(topic: Topic, rng: random.Random) -> tuple[str, Row, str]:
    """A question, the arguments of the call that it needs, and what the tool says."""
    value = word(rng)
    arguments: Row = {topic.parameter: value}
    if topic.unit:
        arguments[topic.unit[0]] = topic.unit[1][0]
    answer = rng.choice((f"{rng.randint(1, 99)} degrees", str(rng.randint(1, 9999)), word(rng)))
    return rng.choice(topic.asks).format(word=value), arguments, answer


def calculation(rng: random.Random) -> tuple[Row, str, Row, str]:
    """As `asked`, with its tool: two whole numbers and an operation, in one text or apart."""
    name = rng.choice(list(OPERATORS))
    sign = OPERATORS[name]
    left, right = (rng.randint(1, 10 ** rng.randint(1, 4)) for _ in range(2))
    question = rng.choice(("What is {a} {s} {b}?", "{a} {s} {b} =", "Compute {a} {s} {b}.")).format(
        a=left, s=sign, b=right
    )
    result = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}[sign]
    if rng.random() < 0.5:
        tool = function("calculate", "Computes a formula.", {"expression": {"type": "string"}}, ["expression"])
        return tool, question, {"expression": f"{left} {sign} {right}"}, str(result)
    number = {"type": "integer"}
    tool = function(name, f"Computes a {sign} b.", {"a": number, "b": number}, ["a", "b"])
    return tool, question, {"a": left, "b": right}, str(result)


def conversation(rng: random.Random, plain: Iterator[Any]) -> tuple[list[Row], list[Row] | None]:
    """Messages of which the last one is learned, and the tools that are offered."""
    kind = rng.random()
    if kind < PLAIN_SHARE + UNUSED_SHARE:
        row = next(plain).row("reasoned")
        said = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
        return said, None if kind < PLAIN_SHARE else offered([], rng)
    if rng.random() < 0.35:
        tool, question, arguments, answer = calculation(rng)
        others = offered([], rng)[: rng.choice((0, 0, 1))]
    else:
        topic = rng.choice(TOPICS)
        tool, (question, arguments, answer) = tool_of(topic), asked(topic, rng)
        others = offered([topic], rng)[: rng.choice((0, 0, 1))]
    name = tool["function"]["name"]
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    messages: list[Row] = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    if rng.random() < ANSWERED_SHARE:
        messages += [
            {"role": "tool", "tool_call_id": "call_1", "content": answer},
            {"role": "assistant", "content": f"<answer>{answer}</answer>"},
        ]
    tools = [tool, *others]
    rng.shuffle(tools)
    return messages, tools


def offered(but: list[Topic], rng: random.Random) -> list[Row]:
    """Two tools of other topics."""
    return [tool_of(topic) for topic in rng.sample([topic for topic in TOPICS if topic not in but], 2)]


def conversations(seed: int) -> Iterator[tuple[list[Row], list[Row] | None]]:
    rng, plain = random.Random(seed), problems("train", seed)
    while True:
        yield conversation(rng, plain)
