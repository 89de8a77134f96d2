"""A base model's chat template: where it is, what it knows, and the sandbox that it runs in, as transformers has it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fettle.datasets.formats.control_tokens import MARK


class GenerationTag(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`: a MARK before and after what the assistant says."""

    tags = {"generation"}  # noqa: RUF012 — jinja2's own contract

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Any) -> str:
        return f"{MARK}{caller()}{MARK}"


def environment() -> ImmutableSandboxedEnvironment:
    """As transformers has it: a template may do no more than write."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = lambda value, **kw: json.dumps(value, ensure_ascii=False, **kw)
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return made


def chat_template(folder: Path) -> str:
    """A base model's; empty when it has none."""
    alone, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if alone.is_file():
        return alone.read_text()
    return default_template(json.loads(config.read_text())) if config.is_file() else ""


def shown_by(template: str) -> frozenset[str]:
    """Which of `tools` and `tool_calls` the template shows to the model."""
    known = jinja2.meta.find_undeclared_variables(environment().parse(template)) & {"tools"}
    return frozenset(known | ({"tool_calls"} if "tool_calls" in template else set()))


def default_template(config: dict[str, Any]) -> str:
    """tokenizer_config.json holds one template, or a list of named ones."""
    found = config.get("chat_template") or ""
    if isinstance(found, list):
        return next((str(entry["template"]) for entry in found if entry["name"] == "default"), "")
    return str(found)


def token_text(token: Any) -> str:
    """tokenizer_config.json holds a token as text or as an object with its text in `content`."""
    return str(token["content"] if isinstance(token, dict) else token)


def raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)
