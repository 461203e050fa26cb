"""A hub's store as a whole, for those who keep it: what the command line's commands under "The data" do, as functions.

Example:
    >>> from pathlib import Path
    >>> from durable_ray import stores
    >>> stores.back_up("sqlite:////var/lib/hub.db", Path("/backups/monday.db"))  # doctest: +SKIP
    StoreCopy(hub='durable_ray', address='10.0.0.1:6379', last_alive=…, instances=812, unfinished=40, bytes=5931008)
"""

from __future__ import annotations

from durable_ray.actors.instances.audit.auditing import audit, mend
from durable_ray.actors.instances.audit.findings import AuditFinding
from durable_ray.actors.store.copies.backups import back_up, restore
from durable_ray.actors.store.copies.moving import MovedStore, move
from durable_ray.actors.store.copies.sqlite_files import StoreCopy

__all__ = ["AuditFinding", "MovedStore", "StoreCopy", "audit", "back_up", "mend", "move", "restore"]
