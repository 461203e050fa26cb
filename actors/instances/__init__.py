"""One instance, wherever it is handled: its row, its placement, its place in memory, how it looks from outside."""
