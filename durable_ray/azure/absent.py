"""What Azure's SDK has and durable_ray has not: names that import, and say at the call what takes their place."""

from __future__ import annotations

from typing import Any, NoReturn

_ENTITIES = (
    "durable_ray has no entities. An orchestrator that waits for events in a loop and continues as new keeps state the "
    "same way: client.signal_with_start(counter, 'add', 1, instance_id='counter-7')"
)


def refuse(what: str, instead: str, *_: Any, **__: Any) -> NoReturn:
    """Say that something cannot be had.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(f"{what}: {instead}")


class _NoEntity:
    def __init__(self, *_: Any, **__: Any) -> None:
        refuse(type(self).__name__, _ENTITIES)

    @classmethod
    def create(cls, *_: Any, **__: Any) -> NoReturn:
        """There are no entities.

        Raises:
            NotImplementedError: always.
        """
        refuse(f"{cls.__name__}.create", _ENTITIES)


class Entity(_NoEntity):
    """Not here."""


class EntityId(_NoEntity):
    """Not here."""


class DurableEntityContext(_NoEntity):
    """Not here."""


class EntityStateResponse(_NoEntity):
    """Not here."""


class ManagedIdentityTokenSource:
    """Not here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        refuse("ManagedIdentityTokenSource", "durable_ray has no call_http; call an activity that sends the request")


def entity_trigger(*_: Any, **__: Any) -> NoReturn:
    """There are no entities.

    Raises:
        NotImplementedError: always.
    """
    refuse("entity_trigger", _ENTITIES)
