"""Several turns on real chat templates: what is learned follows exactly the tokens that serving sends.

The templates are those that TRL carries; the expected text is what transformers renders.
"""

import json
import os
import random
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from fettle.datasets.formats import preview
from fettle.datasets.formats.render import Message, Rendered, Renderer
from fettle.errors import TrainingFailed
from tests import bases
from worker.training.data import supervised

TEMPLATES = Path(str(find_spec("trl").origin)).parent / "chat_templates"  # type: ignore[union-attr]
REWRITING = ("qwen3", "qwen3_5_think", "gptoss", "phi3")
KEEPING = ("qwen2_5", "qwen3_instruct_2507", "qwen3_vl", "llama3", "llama3_1", "llama3_2", "gemma3", "qwen3_training")
THINKING = ("qwen3", "qwen3_5_think")
CONVERSATIONS = int(os.environ.get("FETTLE_TEST_CONVERSATIONS", "60"))  # of each template; 10,000 take minutes
WORDS = ("apples", "two", "<b>", "é", "中文", "```py\nx = 1\n```", "a  b", "{}", "\n\n")


@pytest.fixture(scope="module")
def on_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Renderer]:
    made: dict[str, Renderer] = {}

    def renderer(name: str) -> Renderer:
        if name not in made:
            folder = bases.copy(tmp_path_factory.mktemp(name) / "base")
            (folder / "chat_template.jinja").write_text((TEMPLATES / f"{name}.jinja").read_text())
            bases.rewrite(folder / "tokenizer_config.json", bos_token="<|im_start|>")  # some templates begin with it
            made[name] = Renderer(folder)
        return made[name]

    return renderer


def conversations(count: int, reasons: bool, seed: int = 1) -> Iterator[list[Message]]:
    """Of one to four questions; reasons: half of the answers think first."""
    rng = random.Random(seed)

    def words() -> str:
        return "x" + " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 6))) + "x"

    for _ in range(count):
        messages: list[Message] = []
        for _ in range(rng.randint(1, 4)):
            thought = f"<think>\n{words()}\n</think>\n\n" if reasons and rng.random() < 0.5 else ""
            weight: dict[str, Any] = {"weight": 0} if rng.random() < 0.2 else {}
            messages.append({"role": "user", "content": words()})
            messages.append({"role": "assistant", "content": thought + words(), **weight})
        yield messages


def transformers_text(renderer: Renderer, messages: list[Message], opening: bool) -> str:
    (text,), _ = render_jinja_template(
        conversations=[messages],
        chat_template=renderer.template_text,
        add_generation_prompt=opening,
        **renderer.special,
    )
    return str(text)


def lessons_of(sequence: Rendered) -> list[tuple[list[int], list[int]]]:
    """Each run of learned tokens, with all tokens before it."""
    found, start = [], None
    for place, learned in enumerate([*sequence.supervised, False]):
        if learned and start is None:
            start = place
        elif not learned and start is not None:
            found.append((sequence.ids[:start], sequence.ids[start:place]))
            start = None
    return found


@pytest.mark.parametrize("name", [*REWRITING, *KEEPING])
def test_each_turn_is_learned_once_after_the_tokens_that_serving_sends(
    name: str, on_template: Callable[[str], Renderer]
) -> None:
    renderer = on_template(name)
    several = 0
    for messages in conversations(CONVERSATIONS, reasons=name in THINKING):
        taught = [n for n, turn in enumerate(messages) if turn["role"] == "assistant" and turn.get("weight") != 0]
        sequences = renderer.sequences(messages)
        if not taught:
            assert [each.lessons for each in sequences] == [0]
            continue
        several += len(sequences) > 1
        found = {tuple(before): learned for each in sequences for before, learned in lessons_of(each)}
        assert len(found) == sum(len(lessons_of(each)) for each in sequences) == len(taught)
        for place in taught:
            served = renderer.prompt(messages[:place])
            theirs = transformers_text(renderer, messages[:place], opening=True)
            assert served == renderer.control_tokens.encode(theirs, {})[0]
            whole = transformers_text(renderer, messages[: place + 1], opening=False)
            assert tuple(served) in found
            assert (
                renderer.decode(served + found[tuple(served)]).strip()
                == renderer.decode(renderer.control_tokens.encode(whole, {})[0]).strip()
            )
    assert renderer.rewrites == (several > 0) == (name in REWRITING)


def test_a_rewritten_conversation_is_trained_as_the_preview_shows_it(
    on_template: Callable[[str], Renderer], tmp_path: Path
) -> None:
    renderer = on_template("qwen3")
    rows = list(conversations(20, reasons=True, seed=2))
    rows = [[{key: turn[key] for key in ("role", "content")} for turn in messages] for messages in rows]
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in rows))
    examples = supervised.read(file, renderer, 2048, "training_file")
    assert examples.rows == examples.kept == 20
    assert len(examples.dataset) == sum(len(messages) // 2 for messages in rows)
    trained = iter(examples.dataset)
    for messages in rows:
        conversation = {"messages": messages}
        shown = preview.render(renderer, 1, conversation, 2048)
        assert len(shown.sequences) == len(messages) // 2
        ids, mask = list(shown.token_ids), list(shown.loss_mask)
        for length in shown.sequences:
            example = next(trained)
            assert (example["input_ids"], [int(label != -100) for label in example["labels"]]) == (
                ids[:length],
                mask[:length],
            )
            del ids[:length], mask[:length]


@pytest.mark.parametrize("name", THINKING)
def test_text_that_a_template_drops_is_an_error_that_names_the_message(
    name: str, on_template: Callable[[str], Renderer]
) -> None:
    answer = "Well. <think>Add them.</think> 4"  # what is before the tag is not shown
    with pytest.raises(TrainingFailed, match=r"drops a part of message 2 \(assistant\)") as raised:
        on_template(name).sequences([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": answer}])
    assert raised.value.code == "chat_template_drops_text"


def test_a_system_message_that_a_template_ignores_is_an_error(tmp_path: Path) -> None:
    folder = bases.copy(tmp_path / "base")
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]{{ m.content }}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    said = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    assert Renderer(folder).render(said).lessons
    with pytest.raises(TrainingFailed, match=r"message 1 \(system\)"):
        Renderer(folder).render([{"role": "system", "content": "Be brief."}, *said])
