"""Managing instances: every row of the management API, on a hub in this process."""
