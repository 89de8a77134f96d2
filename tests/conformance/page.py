"""docs/openai-compatibility.md. `python -m tests.conformance.page` writes it anew from both codes."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import openai

from fettle.inference.requests import chat, completion
from tests.conformance.objects import OBJECTS, compared
from tests.conformance.remarks import HEAD, REMARKS
from tests.conformance.surface import CHAT, COMPLETIONS, CREATE, Route, SdkRoute, listed, routes, same_path, sdk_routes

NEUTRAL = {CHAT: chat.NEUTRAL, COMPLETIONS: completion.NEUTRAL}
PAGE = Path(__file__).parents[2] / "docs" / "openai-compatibility.md"


def page() -> str:
    parts = [HEAD.format(version=openai.__version__), overview(), *parameters(), objects(), lacking(), own()]
    return "\n".join(parts)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def served() -> list[tuple[SdkRoute, Route]]:
    """The SDK's routes that are here; its beta and its deprecated twins of one route count once."""
    ours, pairs, seen = routes(), [], set()
    for theirs in sdk_routes():
        known = same_path(theirs.route)
        if known in ours and known not in seen and not theirs.name.startswith("beta."):
            seen.add(known)
            pairs.append((theirs, ours[known]))
    return pairs


def overview() -> str:
    rows = []
    for theirs, ours in served():
        found = {status for _, status in listed(ours, theirs)}
        words = [word for word in ("extended", "refused") if word in found]
        extent = "same" if not words else f"same, with parameters that are {' or '.join(words)}"
        rows.append((f"`{theirs.route}`", f"`{theirs.name}`", extent))
    return "## Routes of OpenAI's that are here\n\n" + table(("route", "in the SDK", "here"), rows)


def parameters() -> Iterator[str]:
    for theirs, ours in served():
        if rows := listed(ours, theirs):
            shown = [(f"`{name}`", status, remark(theirs, ours, name)) for name, status in rows]
            yield f"### `{theirs.route}`\n\n" + table(("parameter", "here", "remarks"), shown)


def remark(theirs: SdkRoute, ours: Route, name: str) -> str:
    words = [REMARKS[theirs.route, name]] if (theirs.route, name) in REMARKS else []
    neutral = NEUTRAL.get(theirs.route, {})
    if name in neutral:
        words.append(f"`{json.dumps(neutral[name])}`, which asks for nothing, is accepted")
    inner = sorted(own.removeprefix(f"{name}.") for own in ours.parameters if own.startswith(f"{name}."))
    if inner and theirs.route != CREATE:
        words.append("its fields here: " + ", ".join(f"`{field}`" for field in inner))
    return "; ".join(words)


def objects() -> str:
    text = "## Objects, field by field\n\n"
    text += "`extended` fields pass the SDK's types untouched; what is `absent` the SDK reads as `None`.\n"
    for name in OBJECTS:
        found = defaultdict(list)
        for field, status in compared(name):
            found[status].append(f"`{field}`")
        rows = [(status, ", ".join(found[status])) for status in ("same", "extended", "absent") if found[status]]
        text += f"\n### {name}\n\n" + table(("here", "fields"), rows)
    return text


def lacking() -> str:
    """By the first part of the path, and those of a part that is here whole."""
    ours = routes()
    roots = {same_path(theirs.route).split("/")[2] for theirs, _ in served()}
    whole, single = set(), []
    for theirs in sdk_routes():
        root = theirs.route.split("/")[2]
        if root not in roots:
            whole.add(f"`/v1/{root}`")
        elif same_path(theirs.route) not in ours:
            single.append(f"`{theirs.route}`")
    return (
        "## Routes of OpenAI's that are not here\n\n"
        "Each is refused with 404 and the code `unknown_url` (405 and `method_not_allowed` where the path is here for "
        "another method); nothing is taken and forgotten.\n\n"
        f"Everything under: {', '.join(sorted(whole))}.\n\n"
        f"Single routes: {', '.join(sorted(set(single)))}.\n"
    )


def own() -> str:
    theirs = {same_path(route.route) for route in sdk_routes()}
    rows = [(f"`{route.route}`", route.summary) for known, route in sorted(routes().items()) if known not in theirs]
    return "## Fettle's own routes\n\n" + table(("route", "what it does"), rows)


if __name__ == "__main__":
    PAGE.write_text(page())
