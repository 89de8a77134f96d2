"""Whether a base model's chat template can show what a dataset holds: told when a job is made, not when it trains."""

from fettle.errors import InvalidRequest
from fettle.registry import catalog, tool_formats
from fettle.registry.catalog import BaseModelEntry
from models import File


def check(name: str, base: BaseModelEntry, dataset: File, param: str) -> None:
    """Raises InvalidRequest. A base model that is not on this machine is looked at by its training alone."""
    needs = (dataset.report or {}).get("needs")
    if not needs:
        return
    try:
        folder = catalog.on_disk(name, base)
    except InvalidRequest:
        return
    from fettle.datasets.formats.template import chat_template, shown_by  # the API starts without jinja2

    template = chat_template(folder)
    if lost := sorted(set(needs) - shown_by(template)):
        raise InvalidRequest(
            f"Rows of {dataset.filename} have {lost[0]!r}, but the chat template of {name!r} does not know them: they "
            "would be lost. Choose a base model whose template does, or leave the tools out of the rows.",
            code="tools_unsupported",
            param=param,
        )
    if "tool_calls" in needs and not base.engine_reads_tools and tool_formats.of_template(template) is None:
        raise InvalidRequest(
            f"Rows of {dataset.filename} have tool calls. The chat template of {name!r} writes calls in a form that "
            "the engine does not read, so the tuned model could not be served with tools. Choose another base model, "
            "or set 'engine_reads_tools' in its catalog entry if the engine behind FETTLE_ENGINE_URL reads them.",
            code="tools_unsupported",
            param=param,
        )


def check_tools(name: str, base: BaseModelEntry) -> None:
    """Raises InvalidRequest for a base model whose calls training could not read. One that is not on this machine is
    checked only when it trains."""
    try:
        folder = catalog.on_disk(name, base)
    except InvalidRequest:
        return
    from fettle.datasets.formats.template import chat_template, shown_by

    template = chat_template(folder)
    if not {"tools", "tool_calls"} <= shown_by(template) or tool_formats.of_template(template) is None:
        raise InvalidRequest(
            f"The chat template of {name!r} does not show tools, or writes calls in a form that Fettle does not read. "
            "Choose another base model, or leave out 'tools'.",
            code="tools_unsupported",
            param="method.reinforcement.tools",
        )


def refuse_own_tools(dataset: File, param: str) -> None:
    """Raises InvalidRequest: the policy would be shown tools that nobody answers."""
    if "tools" in ((dataset.report or {}).get("needs") or ()):
        raise InvalidRequest(
            f"Rows of {dataset.filename} have 'tools', and so has the method. Only those of the method can be called: "
            "remove 'tools' from the rows.",
            param=param,
        )
