"""Definitions on their way: packing, pickling, the identity of code, what a process knows of them."""
