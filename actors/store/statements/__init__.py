"""Every statement of the store, said once in SQLAlchemy Core: one module for each concern, one constant for each statement.

Parameters are bind names (`core.text`, `core.number`, `core.among`). A constant is a clause, a tuple of clauses, or a mapping
of databases to clauses where they are of different words. `python -m durable_ray.actors.store.statements` (`make
statements`) writes each module's texts to the module of the same name in `texts`, which is what runs; a test fails when
they differ. So a process that only runs statements does without SQLAlchemy, and a change of SQL is seen when it is reviewed.

Nothing here may import what imports `texts`: a new statement could not be written otherwise.
"""

from __future__ import annotations
