"""Calls between two processes of one machine without Ray in between: bytes for bytes, over a socket with three locks."""
