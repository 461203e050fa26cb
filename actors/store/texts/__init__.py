"""Every statement of the store as it runs, written from `statements` (`make statements`). Nothing is imported for it."""

from __future__ import annotations
