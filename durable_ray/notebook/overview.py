"""What a handle shows of its instance, as steps: few calls, and no more than can be looked at.

A history of thousands of events is not fetched to be drawn, and of a tree only the upper part is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from durable_ray.actors.instances.histories import restore
from durable_ray.actors.instances.status import OrchestrationStatus, status_of
from durable_ray.actors.instances.waits import waits_of
from durable_ray.actors.registry.registry import Registry
from durable_ray.actors.store.records import InstanceQuery
from durable_ray.client.router import Router
from durable_ray.client.steps import Steps
from durable_ray.notebook.markup import badge, muted, text
from durable_ray.notebook.statuses import entries_of, status_html, took

#: Seconds for which a cell waits for a hub that does not answer.
PATIENCE = 10.0
#: Events of a history that is still fetched; children of one instance, instances and queries of a tree.
_EVENTS, _CHILDREN, _TREE, _QUERIES = 5_000, 20, 40, 8


class Tree(NamedTuple):
    """An instance with those of its sub-orchestrations that are shown, and whether there are more."""

    status: OrchestrationStatus
    children: Sequence[Tree] = ()
    more: bool = False


def overview(router: Router, instance_id: str) -> Steps[str]:
    """An instance as HTML."""
    found = yield from router.registry_within(PATIENCE, Registry.row, instance_id)
    if found is None:
        return f"<div>{muted('no instance with ID')} <b>{text(instance_id)}</b></div>"
    facts = None
    if found.row.events <= _EVENTS and found.row.damage is None:
        facts = yield from router.registry(Registry.waiting, instance_id, "all", True)
    if facts is None:
        status = status_of(found.row)
    else:
        status = status_of(facts.loaded.row, restore(facts.loaded)[0], waiting_for=waits_of(facts))
    tree = yield from _tree(router, status)
    return status_html(status, entries_of(status), tree_html(tree) if tree.children else "")


def _tree(router: Router, root: OrchestrationStatus) -> Steps[Tree]:
    known: dict[str, tuple[list[OrchestrationStatus], bool]] = {}
    todo, seen = [root.instance_id], 1
    while todo and len(known) < _QUERIES and seen < _TREE:
        parent = todo.pop(0)
        query = InstanceQuery(parent_id=parent, payloads="output")
        page = yield from router.registry(Registry.query, query, _CHILDREN, None)
        children = [status_of(row, show_input=False) for row in page.rows]
        known[parent] = children, page.token is not None
        todo += [child.instance_id for child in children]
        seen += len(children)
    return _grown(root, known)


def _grown(status: OrchestrationStatus, known: Mapping[str, tuple[list[OrchestrationStatus], bool]]) -> Tree:
    children, more = known.get(status.instance_id, ([], False))
    return Tree(status, [_grown(child, known) for child in children], more)


def tree_html(tree: Tree) -> str:
    """The sub-orchestrations of an instance, as nested lists."""
    items = "".join(
        f"<li>{badge(child.status.runtime_status)} {text(child.status.instance_id)} {muted(text(child.status.name))} "
        f"{muted(took(child.status))}{tree_html(child)}</li>"
        for child in tree.children
    )
    more = f"<li>{muted('… and more')}</li>" if tree.more else ""
    return f'<ul style="margin:0">{items}{more}</ul>' if items else ""


def kept_short(make: Any, *args: Any) -> Any:
    """What `make` answers, or the error as text: showing a value must not end a notebook's cell."""
    try:
        return make(*args)
    except Exception as error:
        return f"<div>{muted(f'cannot be shown now: {text(type(error).__name__)}: {text(error)}')}</div>"
