"""Code by name, version and content; the highest revision of a name is its newest.

Written by `python -m durable_ray.actors.store.statements` from `statements/definitions.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

TAKE_REVISION = Statement(
    ("by",),
    sqlite=(
        "UPDATE hub "
        "SET definitions_revision=(hub.definitions_revision + ?) "
        "RETURNING definitions_revision"
    ),
    postgresql=(
        "UPDATE hub "
        "SET definitions_revision=(hub.definitions_revision + %s::BIGINT) "
        "RETURNING hub.definitions_revision"
    ),
)

OF_NAME = Statement(
    ("kind", "name", "limit"),
    sqlite=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.options, definitions.runtime_env, definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = ? AND definitions.name = ? "
        "ORDER BY definitions.revision DESC "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.options, definitions.runtime_env, definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = %s::VARCHAR AND definitions.name = %s::VARCHAR "
        "ORDER BY definitions.revision DESC "
        "LIMIT %s::BIGINT"
    ),
)

PUT = Statement(
    ("kind", "name", "version", "code_id", "revision", "how", "options", "runtime_env", "body"),
    sqlite=(
        "INSERT INTO definitions (kind, name, version, code_id, revision, how, options, runtime_env, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (kind, name, version, code_id) DO UPDATE "
        "SET revision = excluded.revision, how = excluded.how, options = excluded.options, runtime_env = "
        "excluded.runtime_env, body = excluded.body"
    ),
    postgresql=(
        "INSERT INTO definitions (kind, name, version, code_id, revision, how, options, runtime_env, body) "
        "VALUES (%s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s::VARCHAR, "
        "%s::VARCHAR, %s) "
        "ON CONFLICT (kind, name, version, code_id) DO UPDATE "
        "SET revision = excluded.revision, how = excluded.how, options = excluded.options, runtime_env = "
        "excluded.runtime_env, body = excluded.body"
    ),
)

SINCE = Statement(
    ("since",),
    sqlite=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.options, definitions.runtime_env, definitions.revision "
        "FROM definitions "
        "WHERE definitions.revision > ? "
        "ORDER BY definitions.revision"
    ),
    postgresql=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.options, definitions.runtime_env, definitions.revision "
        "FROM definitions "
        "WHERE definitions.revision > %s::BIGINT "
        "ORDER BY definitions.revision"
    ),
)

NEWEST = Statement(
    ("kind", "name", "limit"),
    sqlite=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.body, definitions.options, definitions.runtime_env, "
        "definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = ? AND definitions.name = ? "
        "ORDER BY definitions.revision DESC "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.body, definitions.options, definitions.runtime_env, "
        "definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = %s::VARCHAR AND definitions.name = %s::VARCHAR "
        "ORDER BY definitions.revision DESC "
        "LIMIT %s::BIGINT"
    ),
)

NEWEST_OF_VERSION = Statement(
    ("kind", "name", "version", "limit"),
    sqlite=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.body, definitions.options, definitions.runtime_env, "
        "definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = ? AND definitions.name = ? AND definitions.version = ? "
        "ORDER BY definitions.revision DESC "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.body, definitions.options, definitions.runtime_env, "
        "definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = %s::VARCHAR AND definitions.name = %s::VARCHAR AND definitions.version = "
        "%s::VARCHAR "
        "ORDER BY definitions.revision DESC "
        "LIMIT %s::BIGINT"
    ),
)

NEWEST_OF_CODE = Statement(
    ("kind", "name", "code_id", "limit"),
    sqlite=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.body, definitions.options, definitions.runtime_env, "
        "definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = ? AND definitions.name = ? AND definitions.code_id = ? "
        "ORDER BY definitions.revision DESC "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.body, definitions.options, definitions.runtime_env, "
        "definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = %s::VARCHAR AND definitions.name = %s::VARCHAR AND definitions.code_id = "
        "%s::VARCHAR "
        "ORDER BY definitions.revision DESC "
        "LIMIT %s::BIGINT"
    ),
)

NEWEST_OF_BOTH = Statement(
    ("kind", "name", "version", "code_id", "limit"),
    sqlite=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.body, definitions.options, definitions.runtime_env, "
        "definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = ? AND definitions.name = ? AND definitions.version = ? AND "
        "definitions.code_id = ? "
        "ORDER BY definitions.revision DESC "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT definitions.kind, definitions.name, definitions.version, definitions.code_id, "
        "definitions.how, definitions.body, definitions.options, definitions.runtime_env, "
        "definitions.revision "
        "FROM definitions "
        "WHERE definitions.kind = %s::VARCHAR AND definitions.name = %s::VARCHAR AND definitions.version = "
        "%s::VARCHAR AND definitions.code_id = %s::VARCHAR "
        "ORDER BY definitions.revision DESC "
        "LIMIT %s::BIGINT"
    ),
)
