"""One host: instances in memory, their turns and commits, timers, passivation, what callers may ask."""
