"""The plain classes as Ray actors and tasks: thin wrappers with Ray's options."""
