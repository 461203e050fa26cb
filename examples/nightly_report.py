"""A report by the clock: a schedule declared in code, and run once now. `python examples/nightly_report.py`

Deploying the code creates the schedule. Each time due is run exactly once, or skipped for a reason that can be read.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import durable_ray as dr

DATABASE = str(Path(tempfile.gettempdir(), "durable_ray_example_sales.db"))


@dataclass(frozen=True)
class Source:
    database: str
    currency: str = "EUR"


@dr.activity(retry_policy=dr.RetryPolicy(first_retry_interval=5, max_number_of_attempts=3))
def total_sales(source: Source) -> int:
    with closing(sqlite3.connect(source.database)) as connection:
        return int(connection.execute("select coalesce(sum(amount), 0) from sales").fetchone()[0])


@dr.orchestrator(
    schedule=dr.DeclaredSchedule(
        dr.ScheduleSpec("30 2 * * MON-FRI", time_zone="Europe/Berlin"),
        Source(DATABASE),
        overlap="skip",
        catch_up_window=3600,  # an hour late is as good
        pause_on_failure=True,
    )
)
async def nightly_report(ctx: dr.OrchestrationContext, source: Source) -> str:
    total = await ctx.call_activity(total_sales, source)
    return f"{ctx.current_utc_datetime:%Y-%m-%d}: {total} {source.currency}"


def main(client: dr.Client) -> None:
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.executescript(
            "drop table if exists sales; create table sales (amount int); insert into sales values (40), (2)"
        )
    client.register()  # all of this file, the activity too
    seen = client.get_schedule("nightly_report")
    assert seen is not None
    print("next:", ", ".join(f"{time:%a %H:%M}" for time in seen.next_times[:3]))
    client.trigger_schedule("nightly_report")
    while not (runs := client.list_instances(schedule_id="nightly_report")):
        time.sleep(0.05)  # until it has started
    print("report of", client.get_handle(runs[0].instance_id).wait_for_completion(timeout=60))
    client.delete_schedule("nightly_report")


if __name__ == "__main__":
    main(dr.Client())
