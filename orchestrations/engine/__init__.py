"""The replay engine: the deterministic loop, and orchestrator code run over its history."""
