"""A monitor: look, sleep durably, look again, with a deadline. `python examples/monitor.py`

Plain asyncio: `asyncio.timeout` and `asyncio.sleep` are durable timers here, and survive the process that began them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import durable_ray as dr


@dataclass(frozen=True)
class Upload:
    path: str
    every: float = 60.0
    give_up_after: float = 3600.0


@dr.activity(local=True)
def size_of(path: str) -> int:
    """Bytes of the file, -1 if it is not there. Small and I/O-bound: a thread of the host does it."""
    return os.path.getsize(path) if os.path.exists(path) else -1


@dr.orchestrator
async def await_upload(ctx: dr.OrchestrationContext, upload: Upload) -> int:
    """The size of a file that has stopped growing."""
    before = -1
    async with asyncio.timeout(upload.give_up_after):
        while True:
            size: int = await ctx.call_activity(size_of, upload.path)
            ctx.set_custom_status({"bytes": size})
            if size == before and size > 0:
                return size
            before = size
            await asyncio.sleep(upload.every)


def main(client: dr.Client) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload.bin"
        handle = client.start_new(await_upload, Upload(str(path), every=0.5), instance_id="upload")
        path.write_bytes(b"x" * 1000)
        print(f"{handle.wait_for_completion(timeout=60)} bytes have arrived")

        late = client.start_new(await_upload, Upload(f"{path}.never", every=0.5, give_up_after=1.2), instance_id="late")
        try:
            late.wait_for_completion(timeout=60)
        except dr.OrchestrationFailed as failure:
            print("the other one:", failure.details)


if __name__ == "__main__":
    main(dr.Client())
