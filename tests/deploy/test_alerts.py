"""The alert rules and the dashboard: PromQL that parses, over metrics and labels that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.metrics_page import PAGE, SECTIONS

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "kubernetes" / "overlays" / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "fettle.json"
OF_PROMETHEUS = {"le"}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["spec"]["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    yield from ((rule["alert"], rule["expr"]) for rule in rules())
    yield from ((panel["title"], target["expr"]) for panel in panels() for target in panel["targets"])


def labels_by_metric() -> dict[str, set[str]]:
    found = {}
    for registry in SECTIONS.values():
        for collector in registry._collector_to_names:
            (family,) = collector.describe()
            labels = set(getattr(collector, "_labelnames", ()))
            names = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
            found.update({family.name + name: labels | OF_PROMETHEUS for name in names})
    return found


def selectors(expression: Any) -> Iterator[Any]:
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (inner := getattr(expression, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(expression, "args", []) or []:
        yield from selectors(inner)


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_a_query_reads_metrics_and_labels_that_exist(title: str, query: str) -> None:
    known = labels_by_metric()
    read = list(selectors(promql_parser.parse(query)))
    assert read
    grouped = {name.strip() for names in re.findall(r"by \(([^)]*)\)", query) for name in names.split(",")}
    for selector in read:
        assert selector.name in known
        assert {matcher.name for matcher in selector.matchers.matchers} <= known[selector.name]
    assert grouped <= set().union(*(known[selector.name] for selector in read))


def test_an_unknown_metric_would_be_found() -> None:
    (selector,) = selectors(promql_parser.parse("sum by (part) (increase(fettle_error_total[5m])) > 0"))
    assert selector.name not in labels_by_metric()


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "action"}


def test_the_page_names_every_alert() -> None:
    assert re.findall(r"^\| `(Fettle\w+)` \|", PAGE.read_text(), re.MULTILINE) == [rule["alert"] for rule in rules()]


def test_no_two_panels_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
