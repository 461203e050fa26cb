"""Laws of the engine: what holds for every orchestrator, every history and every order of events."""
