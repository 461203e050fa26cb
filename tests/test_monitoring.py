"""`deploy/monitoring`: dashboard and alert rules ask for what `/metrics` has, in words that Prometheus understands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from durable_ray.actors.store.measures import METRICS
from durable_ray.http.monitoring.metrics import PREFIX
from tests.sources import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
ALERTS = [rule["expr"] for rule in RULES]
#: Series that are exposed -> their labels.
EXPOSED = {
    PREFIX + name + suffix: set(one.labels) | ({"le"} if suffix == "_bucket" else set())
    for name, one in METRICS.items()
    for suffix in {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[one.kind]
}


def names(query: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}\w+", query))


@pytest.mark.parametrize("query", [*QUERIES, *ALERTS])
def test_what_is_asked_for_is_exposed(query: str) -> None:
    found = names(query)
    assert found
    assert found <= EXPOSED.keys()
    labels = set.union(*(EXPOSED[name] for name in found))
    for listed in re.findall(r"by \(([^)]*)\)", query):
        assert {label.strip() for label in listed.split(",")} <= labels
    assert set(re.findall(r"(\w+)=\"", query)) <= labels


def test_the_dashboard_shows_every_metric() -> None:
    shown = {re.sub("_(bucket|sum|count|total)$", "", name) for query in QUERIES for name in names(query)}
    assert shown == {PREFIX + name for name in METRICS}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_alerts_have_a_name_a_severity_and_words() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    assert {rule["labels"]["severity"] for rule in RULES} <= {"critical", "warning", "info"}
    assert all(rule["annotations"]["summary"] for rule in RULES)


def test_prometheus_understands_all_of_it(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: it is in Debian's package `prometheus`")
    # The dashboard's queries as recording rules, with a time in the place of Grafana's own variable.
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    checked = subprocess.run(
        [promtool, "check", "rules", str(FOLDER / "alerts.yaml"), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
