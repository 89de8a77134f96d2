"""The tables of docs/metrics.md. `python -m tests.metrics_page` writes them anew from the registries."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from fettle.observability.metrics import API
from worker.engine.metrics import ENGINE
from worker.metrics import WORKER

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
HEAD = "| metric | type | labels | what it is |\n|---|---|---|---|\n"
SECTIONS = {"## API\n": API, "## Worker\n": WORKER, "## Engine\n": ENGINE}


def table(registry: CollectorRegistry) -> str:
    rows = set()
    for collector in registry._collector_to_names:
        (family,) = collector.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
        rows.add(f"| `{name}` | {family.type} | {labels} | {family.documentation} |\n")
    return HEAD + "".join(sorted(rows))


def renewed(page: str) -> str:
    for title, registry in SECTIONS.items():
        before, rest = page.split(f"{title}\n{HEAD}")
        after = rest[rest.index("\n## ") :] if "\n## " in rest else ""
        page = f"{before}{title}\n{table(registry)}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
