"""Tools as rollouts call them: real sandboxes."""

import pytest

from fettle.errors import InvalidRequest
from fettle.rewards import Limits, LoadError
from fettle.rewards.tools import Call, Tools, check

SOURCE = """
def add(a, b):
    return a + b

def fail(**given):
    raise ValueError("no\ufdd0 such city")

def hang():
    while True: pass
"""


def tool(name: str, source: str = SOURCE) -> dict[str, str]:
    return {"name": name, "source": source}


def test_what_goes_wrong_is_told_to_the_model_and_costs_one_call() -> None:
    connect = "def connect():\n    import socket\n    socket.create_connection(('127.0.0.1', 1))\n"
    words = "def words(n):\n    return 'x' * n\n"
    tools = Tools(
        [*(tool(name) for name in ("add", "fail", "hang")), tool("connect", connect), tool("words", words)],
        Limits(seconds=1.0),
    )
    try:
        assert tools.sandbox is not None
        answers = {
            "sum": tools.call(Call("add", '{"a": 2, "b": 3}')),
            "keys": tools.call(Call("add", '{"a": 2}')),
            "json": tools.call(Call("add", '{"a": 2,}')),
            "list": tools.call(Call("add", "[1]")),
            "raises": tools.call(Call("fail", '{"city": "x"}')),
            "late": tools.call(Call("hang", "{}")),
            "again": tools.call(Call("hang", "{}")),
            "network": tools.call(Call("connect", "{}")),
            "long": tools.call(Call("words", '{"n": 3000000}')),
        }
    finally:
        tools.close()
    assert (answers["sum"].text, answers["sum"].failed) == ("5", False)
    assert "missing 1 required positional argument: 'b'" in answers["keys"].text
    assert "not valid JSON" in answers["json"].text and "not a JSON object" in answers["list"].text
    assert answers["raises"].text == "Error: ValueError: no\ufffd such city"
    assert answers["late"].text == answers["again"].text == "Error: TimeoutError: no result within 1 seconds"
    assert answers["network"].text.startswith("Error: ")
    assert {name for name, answer in answers.items() if not answer.failed} == {"sum", "long"}
    assert 4096 <= len(answers["long"].text) < 4200


def test_a_source_that_does_not_load_names_its_tool() -> None:
    with pytest.raises(LoadError, match=r"(?s)The tool 'add': .*ZeroDivisionError"):
        Tools([tool("add", "1 / 0\ndef add(): ...")])


def test_a_source_without_its_function_is_refused_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check([tool("add"), tool("sub", "def other(): ...")], ("method", "reinforcement"))
    assert caught.value.param == "method.reinforcement.tools[1].source"
    assert "does not define `def sub(…)`" in caught.value.message
