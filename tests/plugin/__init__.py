"""The pytest plugin and what it is used with."""
