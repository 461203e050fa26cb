"""Code by name, version and content; the highest revision of a name is its newest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import LargeBinary, Select, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from durable_ray.actors.store.schema import definitions, hub
from durable_ray.actors.store.statements.core import number, text

_d = definitions.c
_described = (_d.kind, _d.name, _d.version, _d.code_id, _d.how)
_rest = (_d.options, _d.runtime_env, _d.revision)

TAKE_REVISION = (
    update(hub)
    .values(definitions_revision=hub.c.definitions_revision + number("by"))
    .returning(hub.c.definitions_revision)
)
OF_NAME = (
    select(*_described, *_rest)
    .where(_d.kind == text("kind"), _d.name == text("name"))
    .order_by(_d.revision.desc())
    .limit(number("limit"))
)
_new = insert(definitions).values(
    kind=text("kind"),
    name=text("name"),
    version=text("version"),
    code_id=text("code_id"),
    revision=number("revision"),
    how=text("how"),
    options=text("options"),
    runtime_env=text("runtime_env"),
    body=bindparam("body", type_=LargeBinary()),
)
PUT = _new.on_conflict_do_update(
    index_elements=["kind", "name", "version", "code_id"],
    set_={column: _new.excluded[column] for column in ("revision", "how", "options", "runtime_env", "body")},
)
SINCE = select(*_described, *_rest).where(_d.revision > number("since")).order_by(_d.revision)


def _newest(*also: str) -> Select[Any]:
    statement = select(*_described, _d.body, *_rest).where(_d.kind == text("kind"), _d.name == text("name"))
    for name in also:
        statement = statement.where(_d[name] == text(name))
    return statement.order_by(_d.revision.desc()).limit(number("limit"))


NEWEST = _newest()
NEWEST_OF_VERSION = _newest("version")
NEWEST_OF_CODE = _newest("code_id")
NEWEST_OF_BOTH = _newest("version", "code_id")
