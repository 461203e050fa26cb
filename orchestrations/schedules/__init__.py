"""Schedules as values: when a run is due, and what becomes of it. No clock and no store: time is an argument here too."""
