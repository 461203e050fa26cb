"""A saga: bookings with three services, undone in reverse order when one of them refuses. `python examples/saga.py`

Each booking carries an idempotency key, so that an attempt that is repeated books once; each compensation is tried until it
works.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import durable_ray as dr


@dataclass(frozen=True)
class Booking:
    ledger: str  # a folder, in the place of the services
    service: str


@dataclass(frozen=True)
class Trip:
    ledger: str
    services: list[str]


@dr.activity
def book(context: dr.ActivityContext, booking: Booking) -> str:
    """The booking's key. The same one for every attempt: who books under it again finds what is booked."""
    if booking.service == "submarine":
        raise LookupError("no submarine is to be had")
    key = f"{context.instance_id}-{context.task_id}"
    Path(booking.ledger, f"{key}.json").write_text(json.dumps(booking.service))
    return key


@dr.activity(retry_policy=dr.RetryPolicy(first_retry_interval=0.1, backoff_coefficient=2, max_number_of_attempts=20))
def cancel(context: dr.ActivityContext, ledger: str, key: str) -> None:
    """Cancel what is booked under the key; nothing is left to do when that was done already."""
    if context.attempt == 1:
        raise ConnectionError("the service does not answer")
    Path(ledger, f"{key}.json").unlink(missing_ok=True)


@dr.orchestrator
async def travel(ctx: dr.OrchestrationContext, trip: Trip) -> list[str]:
    """The keys of all bookings: all are made, or none is left."""
    keys: list[str] = []
    try:
        for service in trip.services:
            keys.append(await ctx.call(book, Booking(trip.ledger, service)))
    except dr.ActivityFailed:
        for key in reversed(keys):
            await ctx.call(cancel, trip.ledger, key)
        raise
    return keys


def main(client: dr.Client) -> None:
    with tempfile.TemporaryDirectory() as ledger:
        booked = client.start_new(travel, Trip(ledger, ["flight", "hotel"]), instance_id="weekend")
        print("booked:", ", ".join(booked.wait_for_completion(timeout=60)))
        refused = client.start_new(travel, Trip(ledger, ["flight", "hotel", "submarine"]), instance_id="expedition")
        try:
            refused.wait_for_completion(timeout=60)
        except dr.OrchestrationFailed as failure:
            print("refused:", failure.details.cause)
        print("left of it:", [file.name for file in Path(ledger).glob("expedition*")])


if __name__ == "__main__":
    main(dr.Client())
