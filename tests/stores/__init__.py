"""Stores that releases wrote, kept: each later release opens them and finishes what is in them."""
