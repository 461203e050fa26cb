"""Emptying every table but the hub's own row and its leases.

Written by `python -m durable_ray.actors.store.statements` from `statements/erasing.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

HOW_MANY = Statement(
    sqlite=(
        "SELECT count(*) AS count_1 "
        "FROM instances"
    ),
    postgresql=(
        "SELECT count(*) AS count_1 "
        "FROM instances"
    ),
)

EMPTY = (
    Statement(
        sqlite="DELETE FROM inbox",
        postgresql="DELETE FROM inbox",
    ),
    Statement(
        sqlite="DELETE FROM history",
        postgresql="DELETE FROM history",
    ),
    Statement(
        sqlite="DELETE FROM tags",
        postgresql="DELETE FROM tags",
    ),
    Statement(
        sqlite="DELETE FROM inputs",
        postgresql="DELETE FROM inputs",
    ),
    Statement(
        sqlite="DELETE FROM receipts",
        postgresql="DELETE FROM receipts",
    ),
    Statement(
        sqlite="DELETE FROM counters",
        postgresql="DELETE FROM counters",
    ),
    Statement(
        sqlite="DELETE FROM definitions",
        postgresql="DELETE FROM definitions",
    ),
    Statement(
        sqlite="DELETE FROM permits",
        postgresql="DELETE FROM permits",
    ),
    Statement(
        sqlite="DELETE FROM instances",
        postgresql="DELETE FROM instances",
    ),
)

FENCE_OTHERS = Statement(
    ("keep",),
    sqlite=(
        "UPDATE leases "
        "SET epoch=(leases.epoch + 1) "
        "WHERE leases.host != ?"
    ),
    postgresql=(
        "UPDATE leases "
        "SET epoch=(leases.epoch + 1) "
        "WHERE leases.host != %s::VARCHAR"
    ),
)

KEPT = Statement(
    ("keep",),
    sqlite=(
        "SELECT leases.epoch "
        "FROM leases "
        "WHERE leases.host = ?"
    ),
    postgresql=(
        "SELECT leases.epoch "
        "FROM leases "
        "WHERE leases.host = %s::VARCHAR "
        "FOR UPDATE"
    ),
)

NEW_DEFINITIONS = Statement(
    sqlite=(
        "UPDATE hub "
        "SET definitions_revision=(hub.definitions_revision + 1)"
    ),
    postgresql=(
        "UPDATE hub "
        "SET definitions_revision=(hub.definitions_revision + 1)"
    ),
)
