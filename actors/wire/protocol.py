"""The one number that clients, hosts and registry of a hub have to agree on."""

from __future__ import annotations

#: Raised when a message between them changes its meaning.
PROTOCOL = 3
