"""The hub's registry: queries, starts, delivery, admission and lifecycle of actors, limits, rewind, purge, retention."""
