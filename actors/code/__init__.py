"""Code of definitions: packing and pickling, content identity, the cache of definitions in each process."""
