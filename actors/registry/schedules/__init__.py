"""Schedules in the registry: what is due is started, what ends is noted, and the requests of clients."""
