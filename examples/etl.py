"""A chain with retries: extract from a source that fails now and then, transform, load once. `python examples/etl.py`

What the steps pass on are paths, because results are kept in history. The load replaces what an earlier attempt left.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import durable_ray as dr

PATIENT = dr.RetryPolicy(
    first_retry_interval=0.2,
    backoff_coefficient=2,
    max_number_of_attempts=5,
    do_not_retry_on=[ValueError],  # what cannot be read today cannot be read tomorrow
)


@dataclass(frozen=True)
class Day:
    date: str
    folder: str


@dr.activity(retry_policy=PATIENT)
def extract(context: dr.ActivityContext, day: Day) -> str:
    """The path of the raw table."""
    if context.attempt < 3:
        raise ConnectionError("the source is busy")
    path = Path(day.folder, f"{day.date}.csv")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["city", "celsius"], ["Oslo", "-4"], ["Cairo", "21"], ["Oslo", "-2"]])
    return str(path)


@dr.activity(retry_policy=PATIENT)
def transform(path: str) -> str:
    """The path of the means by city."""
    by_city: dict[str, list[float]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            by_city.setdefault(row["city"], []).append(float(row["celsius"]))
    made = Path(path).with_suffix(".json")
    made.write_text(json.dumps({city: sum(values) / len(values) for city, values in sorted(by_city.items())}))
    return str(made)


@dr.activity(retry_policy=PATIENT)
def load(day: Day, path: str) -> int:
    """How many rows the day has in the table. In one transaction, and in the place of what is there of that day."""
    rows = [(day.date, city, mean) for city, mean in json.loads(Path(path).read_text()).items()]
    with closing(sqlite3.connect(Path(day.folder, "weather.db"))) as connection, connection:
        connection.execute("create table if not exists means (day, city, celsius)")
        connection.execute("delete from means where day = ?", [day.date])
        connection.executemany("insert into means values (?, ?, ?)", rows)
    return len(rows)


@dr.orchestrator
async def weather(ctx: dr.OrchestrationContext, day: Day) -> int:
    raw = await ctx.call_activity(extract, day)
    ctx.set_custom_status("extracted")
    means = await ctx.call_activity(transform, raw)
    ctx.set_custom_status("transformed")
    return await ctx.call(load, day, means)


def main(client: dr.Client) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # One instance a day: to run a day again is to start its ID again.
        for _ in range(2):
            handle = client.start_new(weather, Day("2030-01-31", folder), instance_id="weather-2030-01-31")
            print(handle.wait_for_completion(timeout=60), "rows are loaded")
        with closing(sqlite3.connect(Path(folder, "weather.db"))) as connection:
            print(connection.execute("select city, celsius from means order by city").fetchall())


if __name__ == "__main__":
    main(dr.Client())
