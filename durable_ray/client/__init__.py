"""The client: one set of operations, blocking and awaitable, and how they reach the hub."""
