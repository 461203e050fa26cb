"""An aggregator: events from many senders, written in batches by size or by time. `python examples/aggregator.py`

One instance takes the readings of all sensors. A batch goes out when it is full, or when its first reading has waited long
enough.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import durable_ray as dr


@dataclass(frozen=True)
class Reading:
    sensor: str
    value: float


@dataclass(frozen=True)
class Sink:
    folder: str
    batch: int = 5
    patience: float = 60.0  # seconds
    batches: int = 0
    written: int = 0


@dr.activity
def write_batch(sink: Sink, readings: list[Reading]) -> None:
    """One file a batch, named by its number: an attempt that is repeated writes the same file."""
    text = json.dumps([[reading.sensor, reading.value] for reading in readings])
    Path(sink.folder, f"batch-{sink.batches}.json").write_text(text)


@dr.orchestrator
async def collect(ctx: dr.OrchestrationContext, sink: Sink) -> None:
    """Collect one batch, write it, begin anew with an empty history. Readings that came meanwhile go along."""
    readings = [await ctx.wait_for_external_event("Reading", data_type=Reading)]
    deadline = ctx.current_utc_datetime.timestamp() + sink.patience
    while len(readings) < sink.batch:
        left = max(0.0, deadline - ctx.current_utc_datetime.timestamp())
        reading = await ctx.wait_for_external_event("Reading", left, None, data_type=Reading)
        if reading is None:
            break  # nothing more came in time
        readings.append(reading)
    await ctx.call(write_batch, sink, readings)
    after = replace(sink, batches=sink.batches + 1, written=sink.written + len(readings))
    ctx.set_custom_status({"written": after.written})
    ctx.continue_as_new(after)


def main(client: dr.Client) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sink = Sink(folder, patience=0.5)
        for number in range(12):
            # Whoever is the first starts it; nobody has to know.
            reading = Reading(f"sensor-{number % 3}", number / 2)
            client.signal_with_start(collect, "Reading", reading, input=sink, instance_id="readings")
        handle = client.get_handle("readings")
        while (status := handle.get_status()) and status.custom_status != {"written": 12}:
            time.sleep(0.05)
        print(sum(len(json.loads(file.read_text())) for file in Path(folder).glob("batch-*")), "readings are written")
        handle.terminate("enough")


if __name__ == "__main__":
    main(dr.Client())
