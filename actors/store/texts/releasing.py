"""Held instances of a name: how many places beside them are taken, who is first, and letting them begin.

Written by `python -m durable_ray.actors.store.statements` from `statements/releasing.py`; do not edit.
"""

from __future__ import annotations

from durable_ray.actors.store.sql import Statement

TAKEN = Statement(
    ("name", "name", "name"),
    sqlite=(
        "SELECT ((SELECT count(*) AS count_1 FROM instances WHERE instances.status = 'Pending' AND "
        "instances.name = ? AND (instances.start_at IS NULL OR instances.start_at < 2305843009213693952)) + "
        "(SELECT coalesce(sum(counters.n), 0) AS coalesce_1 FROM counters WHERE counters.name = ? AND "
        "counters.status IN ('Running', 'Suspended'))) - (SELECT count(*) AS count_2 FROM instances WHERE "
        "instances.status = 'Suspended' AND instances.name = ? AND instances.start_at >= 2305843009213693952) "
        "AS anon_1"
    ),
    postgresql=(
        "SELECT ((SELECT count(*) AS count_1 FROM instances WHERE instances.status = 'Pending' AND "
        "instances.name = %s::VARCHAR AND (instances.start_at IS NULL OR instances.start_at < "
        "2305843009213693952)) + (SELECT coalesce(sum(counters.n), 0) AS coalesce_1 FROM counters WHERE "
        "counters.name = %s::VARCHAR AND counters.status IN ('Running', 'Suspended'))) - (SELECT count(*) AS "
        "count_2 FROM instances WHERE instances.status = 'Suspended' AND instances.name = %s::VARCHAR AND "
        "instances.start_at >= 2305843009213693952) AS anon_1"
    ),
)

ALONE = Statement(
    ("name",),
    postgresql="SELECT pg_advisory_xact_lock(1146181966, hashtext(%s::VARCHAR)) AS pg_advisory_xact_lock_1",
)

NEXT = Statement(
    ("name", "until", "room"),
    sqlite=(
        "SELECT instances.instance_id "
        "FROM instances "
        "WHERE instances.status = 'Pending' AND instances.name = ? AND instances.start_at >= "
        "2305843009213693952 AND instances.start_at <= ? "
        "ORDER BY instances.priority DESC, instances.created_at, instances.instance_id "
        "LIMIT ?"
    ),
    postgresql=(
        "SELECT instances.instance_id "
        "FROM instances "
        "WHERE instances.status = 'Pending' AND instances.name = %s::VARCHAR AND instances.start_at >= "
        "2305843009213693952 AND instances.start_at <= %s::BIGINT "
        "ORDER BY instances.priority DESC, instances.created_at, instances.instance_id "
        "LIMIT %s::BIGINT"
    ),
)

BEGIN = Statement(
    ("now", "ids"),
    sqlite=(
        "UPDATE instances "
        "SET start_at=CASE WHEN (instances.start_at = 2305843009213693952) THEN NULL ELSE instances.start_at "
        "- 2305843009213693952 END, next_due=? "
        "WHERE instances.instance_id IN (SELECT value FROM json_each(?)) AND instances.turn = 0 AND "
        "instances.start_at >= 2305843009213693952 "
        "RETURNING host, instance_id"
    ),
    postgresql=(
        "UPDATE instances "
        "SET start_at=CASE WHEN (instances.start_at = 2305843009213693952) THEN NULL ELSE instances.start_at "
        "- 2305843009213693952 END, next_due=%s::BIGINT "
        "WHERE instances.instance_id = ANY(%s::TEXT[]) AND instances.turn = 0 AND instances.start_at >= "
        "2305843009213693952 "
        "RETURNING instances.host, instances.instance_id"
    ),
)
