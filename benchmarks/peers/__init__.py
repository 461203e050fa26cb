"""Other durable engines, each in an environment of its own and driven through a pipe."""
