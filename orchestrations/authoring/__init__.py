"""What authors write with: decorators, definitions, options, and the context that an orchestrator is given."""
