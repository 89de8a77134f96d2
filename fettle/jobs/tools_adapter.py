"""Jobs on rows with tools begin with the base model's adapter for tools, where its catalog entry names one.

A base that has never seen a tool call would need thousands of rows to learn what one looks like.
"""

from typing import Any

from fettle import methods
from fettle.methods.spec import CHAT, MethodSpec
from fettle.registry import catalog
from fettle.registry.catalog import BaseModelEntry
from models import File

BEGINS = "Rows or rollouts have tools, so the job begins with the adapter for tools that comes with {!r}."


def lora(base: BaseModelEntry, method: methods.Method, training: File) -> dict[str, Any] | None:
    """Of the adapter that the job is to begin with. None: a fresh one, as where the request asks for another form."""
    spec = methods.spec_of(method)
    if base.tools_adapter is None or not trains_one_adapter(spec) or not wants(spec, method, training):
        return None
    kept = catalog.lora_of(base.tools_adapter)
    asked = getattr(method, method.type).hyperparameters.lora
    fits = all(getattr(asked, name) == kept[name] for name in asked.model_fields_set & kept.keys())
    return kept if fits else None


def trains_one_adapter(spec: MethodSpec) -> bool:
    return dict(spec.publishes) == {CHAT: "hyperparameters"}


def wants(spec: MethodSpec, method: methods.Method, training: File) -> bool:
    needs = (training.report or {}).get("needs") or ()
    return spec.tools(method) is not None or not {"tools", "tool_calls"}.isdisjoint(needs)
