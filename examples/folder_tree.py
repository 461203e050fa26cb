"""A tree of orchestrations: each folder is an instance that calls one for each of its folders. `python examples/folder_tree.py`

Every child has a history of its own, so that a tree of any size has only small ones; and a failure anywhere arrives
at the root with the whole way that it took.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

import durable_ray as dr


@dataclass(frozen=True)
class Listing:
    size: int
    folders: list[str]


@dataclass(frozen=True)
class Total:
    size: int
    folders: int


@dr.activity(local=True)
def list_folder(path: str) -> Listing:
    entries = sorted(Path(path).iterdir())
    files = [entry for entry in entries if entry.is_file()]
    return Listing(sum(file.stat().st_size for file in files), [str(each) for each in entries if each.is_dir()])


@dr.orchestrator
async def total_of(ctx: dr.OrchestrationContext, path: str) -> Total:
    """The bytes below a folder, and how many folders that are."""
    listing = await ctx.call_activity(list_folder, path)
    below = await asyncio.gather(*(ctx.call_sub_orchestrator(total_of, folder) for folder in listing.folders))
    return Total(listing.size + sum(each.size for each in below), 1 + sum(each.folders for each in below))


def main(client: dr.Client) -> None:
    with tempfile.TemporaryDirectory() as root:
        for number, folder in enumerate(("a", "a/x", "a/y", "b", "b/z/deep")):
            Path(root, folder).mkdir(parents=True)
            Path(root, folder, "file").write_bytes(b"x" * 10**number)
        handle = client.start_new(total_of, root, instance_id="tree")
        total = handle.wait_for_completion(timeout=60)
        print(f"{total.size} bytes in {total.folders} folders")
        children = client.list_instances(parent_instance_id="tree")
        print("children of the root:", len(children))


if __name__ == "__main__":
    main(dr.Client())
