"""The audit of a whole store: what does not hold, where, and what of it can be mended without guessing."""
