"""An entity."""

from __future__ import annotations

import azure.durable_functions as df


def entity_function(context: df.DurableEntityContext) -> None:
    context.set_state(context.get_state(lambda: 0) + 1)


main = df.Entity.create(entity_function)
