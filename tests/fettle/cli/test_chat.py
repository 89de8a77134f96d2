"""`fettle chat` against a real API. The engine is a stub that answers '4'."""

import io

import pytest

from tests.fettle.cli.conftest import Server, Shell


@pytest.fixture
def typed(asking: Shell, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs a conversation of these lines."""

    def run(*lines: str, words: tuple[str, ...] = ("starter",)) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
        return asking.ok("chat", *words)

    return run


def asked(server: Server) -> list[list[dict[str, str]]]:
    return [body["messages"] for path, body in server.engine.seen if path.endswith("chat/completions")]


@pytest.fixture(autouse=True)
def nothing_seen(server: Server) -> None:
    server.engine.seen.clear()


def test_one_message_gets_one_answer(asking: Shell, server: Server) -> None:
    assert asking.ok("chat", "starter", "2 + 2?", "--system", "Be brief.", "--temperature", "0") == "4\n"
    (body,) = [body for _, body in server.engine.seen]
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    assert body["temperature"] == 0


def test_a_conversation_is_remembered_and_can_be_forgotten(typed, server: Server) -> None:  # type: ignore[no-untyped-def]
    assert typed("2 + 2?", "Sure?", "/reset", "3 + 1?") == "4\n4\nA new conversation starts.\n4\n"
    assert [[message["content"] for message in each] for each in asked(server)] == [
        ["2 + 2?"],
        ["2 + 2?", "4", "Sure?"],
        ["3 + 1?"],
    ]


def test_the_system_message_can_be_set_and_removed(typed, server: Server) -> None:  # type: ignore[no-untyped-def]
    typed("/system Be brief.", "a", "/system", "b")
    assert [each[0]["role"] for each in asked(server)] == ["system", "user"]


def test_the_base_model_is_told_apart_and_unknown_commands_are_named(typed) -> None:  # type: ignore[no-untyped-def]
    said = typed("/base", "hi", "/base", "/dance", "/quit", "never asked")
    assert "Write a message first" in said
    assert "starter is a base model." in said
    assert "/dance is not a command." in said
    assert "never asked" not in said


def test_the_answer_as_json_is_the_apis(asking: Shell) -> None:
    assert asking.json("chat", "starter", "2 + 2?")["object"] == "chat.completion"


def test_a_model_that_does_not_exist_is_told_before_the_first_question(asking: Shell) -> None:
    assert "'gpt-9'" in asking.refused("chat", "gpt-9")
