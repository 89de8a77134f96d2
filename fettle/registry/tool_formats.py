"""How families of models write tool calls, told by their chat templates.

A call is `prefix`, the arguments in JSON, `suffix`; several stand between `opener` and `closer`, with `between` in the
middle. `special`: marks that the tokenizer has as control tokens, which decoding would leave out.
"""

from dataclasses import dataclass

NAME = "{name}"  # in a prefix: the function's


@dataclass(frozen=True)
class ToolFormat:
    name: str
    prefix: str
    suffix: str = ""
    opener: str = ""
    closer: str = ""
    between: str = ""
    marks: tuple[str, ...] = ()  # which a call begins with
    special: tuple[str, ...] = ()
    bare: bool = False  # an answer that begins with a brace may be a call
    parallel: bool = True
    short_ids: bool = False  # the template takes call ids of 9 letters and digits alone

    def before(self, name: str) -> str:
        """What the model writes before the arguments of the first call."""
        return self.opener + self.prefix.replace(NAME, name)


HERMES = ToolFormat(
    "hermes",
    prefix='<tool_call>\n{"name": "{name}", "arguments":',
    suffix="}\n</tool_call>",
    between="\n",
    marks=("<tool_call>",),
)
LLAMA3 = ToolFormat(
    "llama3",
    prefix='{"name": "{name}", "parameters":',
    suffix="}",
    marks=("<|python_tag|>",),
    special=("<|python_tag|>",),
    bare=True,
    parallel=False,
)
MISTRAL = ToolFormat(
    "mistral",
    prefix='{"name": "{name}", "arguments":',
    suffix="}",
    opener="[TOOL_CALLS][",
    closer="]",
    between=", ",
    marks=("[TOOL_CALLS]",),
    special=("[TOOL_CALLS]",),
    short_ids=True,
)
MISTRAL_ARGS = ToolFormat(
    "mistral_args",
    prefix="[TOOL_CALLS]{name}[ARGS]",
    marks=("[TOOL_CALLS]",),
    special=("[TOOL_CALLS]", "[ARGS]"),
    short_ids=True,
)
OTHER_FORMS = ("<function=", "<arg_key>")  # what Qwen3-Coder and GLM write inside of <tool_call>


def of_template(template: str) -> ToolFormat | None:
    """None for a template that shows no calls, or calls of a form that nothing here reads."""
    if "tool_calls" not in template:
        return None
    if "[TOOL_CALLS]" in template:
        return MISTRAL_ARGS if "[ARGS]" in template else MISTRAL
    if "<tool_call>" in template:
        return None if any(form in template for form in OTHER_FORMS) else HERMES
    if '"parameters": ' in template and ("ipython" in template or "<|python_tag|>" in template):
        return LLAMA3
    return None
