"""The versions of the schema, oldest first. Each file is one step and never changes once it was released."""
