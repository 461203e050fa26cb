"""Where activities of a test stay until it lets them go: a book that code pickled into the store finds by its import name."""

from __future__ import annotations

import threading

GATE = threading.Event()
