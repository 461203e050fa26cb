"""The tests. A package, so that `tests.<module>` is this folder whatever else is installed."""
