"""The one database that is the truth: a port (`contract`), one schema, shared SQL, and what differs by dialect."""
