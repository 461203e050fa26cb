"""Writes `texts`: run it (`make statements`) after any change in here or in `schema.py`."""

from __future__ import annotations

from pathlib import Path

from durable_ray.actors.store import texts
from durable_ray.actors.store.statements.printing import printed

if __name__ == "__main__":
    folder = Path(texts.__path__[0])
    for file, content in printed().items():
        (folder / file).write_text(content, encoding="utf-8")
