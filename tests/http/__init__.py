"""The HTTP gateway: its contract, its guard, its own resources."""
