"""The plain classes as Ray actors and tasks: thin shells, with Ray's options and nothing else."""
