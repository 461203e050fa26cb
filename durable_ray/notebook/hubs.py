"""A client, and with it its hub: which one, on which store and cluster, by which release, with how much in it."""

from __future__ import annotations

from collections.abc import Mapping

from durable_ray.notebook.markup import badge, box, pairs, text, title


def client_html(facts: Mapping[str, str], counts: Mapping[tuple[str, str], int], note: str = "") -> str:
    """A client as HTML.

    Args:
        facts: what it is connected to, without secrets.
        counts: (orchestrator, runtime status) -> how many instances.
        note: what could not be found out.
    """
    totals: dict[str, int] = {}
    for (_, status), number in counts.items():
        totals[status] = totals.get(status, 0) + number
    instances = " ".join(f"{badge(status)} {number}" for status, number in sorted(totals.items()) if number) or "none"
    return box(
        title("<b>durable_ray client</b>", f"of hub <b>{text(facts['hub'])}</b>"),
        pairs(
            [
                *((name, text(value)) for name, value in facts.items() if name != "hub"),
                ("instances", text(note) if note else instances),
            ]
        ),
    )
