"""Well-known families of open models, recognised by their config: what is particular about each.

`template`: the name under which TRL ships the family's real chat template; the tests compare what Fettle renders with
transformers there. A family without one has not been run on its own template.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """matches: whether a config is of this family. tool_calls: how the template writes a call. reasoning: its tags."""

    name: str
    matches: Callable[[Config], bool]
    template: str | None = None
    tool_calls: str | None = None
    reasoning: str | None = None
    note: str = ""


def kind(*types: str) -> Callable[[Config], bool]:
    return lambda config: config.get("model_type") in types


def sized(model_type: str, *vocabularies: int) -> Callable[[Config], bool]:
    """For families that share a type and differ in their vocabulary."""
    return lambda config: config.get("model_type") == model_type and config.get("vocab_size") in vocabularies


THINK = "<think>…</think>"
TOOL_CALL = "<tool_call>{JSON}</tool_call>"
KEEPS_LAST = "The template shows reasoning only after the last user message. Each turn is trained as it is served."

FAMILIES: tuple[Family, ...] = (
    Family(
        "Qwen2.5", kind("qwen2"), "qwen2_5", TOOL_CALL, note="Adds a system message of its own where there is none."
    ),
    Family("Qwen3", kind("qwen3", "qwen3_moe"), "qwen3", TOOL_CALL, THINK, KEEPS_LAST),
    Family("Llama 3", sized("llama", 128_256), "llama3_2", "{JSON}", note="Starts with today's date."),
    Family("SmolLM2", sized("llama", 49_152), None, note="Adds a system message of its own where there is none."),
    Family("SmolLM3", kind("smollm3"), None, TOOL_CALL, THINK),
    Family(
        "Gemma 3", kind("gemma3", "gemma3_text"), "gemma3", note="Puts the system message into the first user message."
    ),
    Family("Mistral", kind("mistral", "ministral", "mistral3"), None, "[TOOL_CALLS][{JSON}]"),
    Family("gpt-oss", kind("gpt_oss"), "gptoss", "<|channel|>commentary", "<|channel|>analysis", KEEPS_LAST),
    Family("Phi 4", sized("phi3", 100_352, 200_064), None),
    Family("Phi 3", sized("phi3", 32_064), "phi3"),
    Family("Granite", kind("granite", "granitemoe", "granitemoehybrid"), None, "<|tool_call|>[{JSON}]"),
    Family("OLMo", kind("olmo", "olmo2", "olmo3"), None),
)


def find(config: Config) -> Family | None:
    return next((family for family in FAMILIES if family.matches(config)), None)


def named(name: str | None) -> Family | None:
    return next((family for family in FAMILIES if family.name == name), None)
