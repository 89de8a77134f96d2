"""Text that a chat template does not show: training on the rest would teach something else than the row says."""

from collections.abc import Sequence
from typing import Any

from fettle.datasets.formats.control_tokens import Span
from fettle.errors import TrainingFailed

OPENING = 32  # characters: some templates begin a turn with <think>, which then is a part of the prompt


def refuse(messages: Sequence[dict[str, Any]], text: str, spans: Sequence[Span]) -> None:
    """What a message says must be in the text, and what is learned in its turn; blanks aside, which templates trim.

    Raises TrainingFailed. Of an earlier turn that is context a template may keep less, as it does when it serves. What
    tools return is left to the template, which may write it as JSON.
    """
    squeezed, reached, turn = squeeze(text), 0, 0
    for number, message in enumerate(messages, 1):
        content = message.get("content")
        own = message["role"] == "assistant"
        span = spans[turn] if own else (0, 0)
        turn += own
        if not isinstance(content, str) or message["role"] == "tool" or (own and message.get("weight") == 0):
            continue
        wanted = squeeze(content)
        if own:
            found = wanted in squeeze(text[max(0, span[0] - OPENING) : span[1]])
        else:
            at = squeezed.find(wanted, reached)
            found = at >= 0 or wanted in squeezed
            reached = max(reached, at)
        if not found:
            raise TrainingFailed(
                "chat_template_drops_text",
                f"The base model's chat template drops a part of message {number} ({message['role']}). Remove what it "
                "does not show, such as a system message or reasoning, or choose another base model.",
                "model",
            )


def squeeze(text: str) -> str:
    return "".join(text.split())
