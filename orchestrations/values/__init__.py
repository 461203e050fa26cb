"""Values that travel: payloads, type hints, failures, IDs."""
