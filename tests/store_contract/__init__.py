"""What every store promises (`durable_ray.actors.store.contract`), on each database: one file for each promise."""
