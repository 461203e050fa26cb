"""`python -m durable_ray` is `durable-ray`."""

from __future__ import annotations

from durable_ray.cli import main

if __name__ == "__main__":
    main()
