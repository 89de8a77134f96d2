"""`fettle chat`: a conversation with a model, its answers as they are written."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from fettle.cli.client import Client
from fettle.cli.terminal import AsJson, console, plain, printable, say, show_json
from fettle.errors import FettleError
from fettle.settings import Settings

HELP = """\
/base           show what the base model answers to your last message
/system TEXT    set the system message; without a text: remove it
/reset          start a new conversation
/history        show the conversation
/quit           leave (Ctrl-D also leaves; Ctrl-C stops an answer)"""

Messages = list[dict[str, str]]


class Conversation:
    """A conversation with one model. system: the system message; '' for none."""

    def __init__(self, client: Client, model: str, system: str, options: dict[str, Any]) -> None:
        self.client, self.model, self.system, self.options = client, model, system, options
        self.messages: Messages = []

    def prompt(self, messages: Messages) -> Messages:
        return [{"role": "system", "content": self.system}, *messages] if self.system else messages

    def ask(self, text: str) -> None:
        """Shows the answer, and keeps both unless it fails."""
        asked: Messages = [*self.messages, {"role": "user", "content": text}]
        answer = self.show_answer(self.model, asked)
        if answer is not None:
            self.messages = [*asked, {"role": "assistant", "content": answer}]

    def ask_base(self) -> None:
        """What the base model says in the last answer's place. The conversation stays as it is."""
        if not self.messages:
            note("Write a message first; /base then shows the base model's answer to it.")
            return
        base = base_of(self.model)
        if base == self.model:
            note(f"{self.model} is a base model.")
            return
        console.print(plain(f"{base}:", "dim"), soft_wrap=True)
        self.show_answer(base, self.messages[:-1])

    def show_answer(self, model: str, messages: Messages) -> str | None:
        """The answer, as far as it came before Ctrl-C; None when there is none."""
        answer = ""
        try:
            for piece in self.pieces(model, messages):
                answer += piece
        except KeyboardInterrupt:
            console.print(plain(" [stopped]", "dim"), end="")
        except FettleError as error:
            if not sys.stdin.isatty():
                raise  # a script learns of it by the exit code
            start = "\n" if answer else ""
            say(Text(f"{start}error ", "red") + plain(error.message))
            return None
        console.print()
        if not answer and sys.stdin.isatty():
            note("The answer is empty.")
        return answer

    def pieces(self, model: str, messages: Messages) -> Iterator[str]:
        """Shows each piece as it comes, and a mark behind an answer that was cut off."""
        for chunk in self.client.chat({"model": model, "messages": self.prompt(messages), **self.options}):
            for choice in chunk["choices"]:
                if text := choice["delta"].get("content"):
                    console.print(plain(text), end="", soft_wrap=True, highlight=False)
                    yield text
                if choice.get("finish_reason") == "length":
                    console.print(plain(" …", "dim"), end="")

    def obey(self, line: str) -> bool:
        """Carries out a line that begins with '/'; whether the conversation goes on."""
        word, _, rest = line.partition(" ")
        match word:
            case "/quit" | "/exit":
                return False
            case "/base":
                self.ask_base()
            case "/system":
                self.system = rest.strip()
                note("The system message is set." if self.system else "There is no system message now.")
            case "/reset":
                self.messages = []
                note("A new conversation starts.")
            case "/history":
                if not self.messages:
                    note("The conversation is empty.")
                for message in self.prompt(self.messages):
                    say(plain(f"{message['role']}: ", "bold") + plain(message["content"]))
            case "/help":
                note(HELP)
            case _:
                note(f"{word} is not a command.\n{HELP}")
        return True


def chat(
    model: Annotated[str, typer.Argument(help="A base model, a tuned model (ft:…) or a checkpoint.")],
    message: Annotated[str | None, typer.Argument(help="One message; unset: a conversation.")] = None,
    system: Annotated[str, typer.Option(help="The system message.")] = "",
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="0: always the likeliest token.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest answer, in tokens.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeats an answer: the same seed, the same text.")] = None,
    as_json: AsJson = False,
) -> None:
    """Talk to a model. Answers appear as they are written; /help lists what else you can type."""
    options = {"temperature": temperature, "max_completion_tokens": max_tokens, "seed": seed}
    talk(
        Client(Settings()),
        model,
        message,
        system=system,
        options={name: value for name, value in options.items() if value is not None},
        as_json=as_json,
    )


def talk(
    client: Client,
    model: str,
    message: str | None = None,
    *,
    system: str = "",
    options: dict[str, Any] | None = None,
    as_json: bool = False,
) -> None:
    """One message and its answer, or a conversation until /quit."""
    conversation = Conversation(client, model, system, options or {})
    if as_json:
        body = {"model": model, "messages": conversation.prompt([{"role": "user", "content": message or read_all()}])}
        show_json(client.post("/v1/chat/completions", body | conversation.options))
    elif message is not None:
        for _ in conversation.pieces(model, [{"role": "user", "content": message}]):
            pass
        console.print()
    else:
        client.get(f"/v1/models/{model}")  # reports a wrong name before the first question
        converse(conversation)


def read_all() -> str:
    """A message on the standard input."""
    return sys.stdin.read().strip()


def converse(conversation: Conversation) -> None:
    if sys.stdin.isatty():
        import readline  # noqa: F401 — arrow keys in what input() reads

        note(f"{conversation.model}. /help lists commands; Ctrl-D leaves.")
    for line in lines():
        if line.startswith("/"):
            if not conversation.obey(line):
                return
        elif line:
            conversation.ask(line)


def lines() -> Iterator[str]:
    """What the person types, until Ctrl-D. Of a pipe every line is a message."""
    shown = "› " if sys.stdin.isatty() else ""
    while True:
        try:
            yield input(shown).strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            console.print()


def note(text: str) -> None:
    say(plain(text, "dim"))


def base_of(model: str) -> str:
    """The base of a tuned model, whose name tells it."""
    return printable(model.split(":")[1]) if model.startswith("ft:") and model.count(":") > 1 else model
