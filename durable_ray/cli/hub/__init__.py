"""The hub as commands see it: one port, over Ray or over HTTP, and what brings a local one up."""
