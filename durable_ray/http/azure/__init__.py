"""Durable Functions' own HTTP API, as its extension serves it and its clients call it."""
