"""Members of Azure's SDK that are not supported: they can be imported, and name their replacement when they are called."""

from __future__ import annotations

from typing import Any, NoReturn

_ENTITIES = (
    "durable_ray has no entities. An orchestrator that waits for events in a loop and continues as new keeps state the "
    "same way: client.signal_with_start(counter, 'add', 1, instance_id='counter-7')"
)


def refuse(what: str, instead: str) -> NoReturn:
    """Refuse something that is not supported.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(f"{what}: {instead}")


def no_entities(what: str) -> NoReturn:
    """Refuse an entity: they are not supported.

    Raises:
        NotImplementedError: always.
    """
    refuse(what, _ENTITIES)


class Entity:
    """A declared entity: an app that has some can be imported; calling one raises an error that names the replacement."""

    def __init__(self, fn: Any = None, name: str | None = None) -> None:
        self.entity_function = fn
        self.name = name or getattr(fn, "__name__", "entity")

    @classmethod
    def create(cls, fn: Any) -> Entity:
        """Declare an entity."""
        return cls(fn)

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """There are no entities.

        Raises:
            NotImplementedError: always.
        """
        no_entities(f"the entity {self.name!r}")


class EntityId:
    """The name and the key of an entity; only to be read, for there are no entities."""

    def __init__(self, name: str, key: str) -> None:
        if not name or not key:
            raise ValueError("an entity has a name and a key")
        self.name = name
        self.key = key

    @staticmethod
    def get_scheduler_id(entity_id: EntityId) -> str:
        """As text: `@counter@7`."""
        return f"@{entity_id.name.lower()}@{entity_id.key}"

    @staticmethod
    def get_entity_id(scheduler_id: str) -> EntityId:
        """From text. Raises ValueError."""
        parts = scheduler_id.split("@")
        if len(parts) != 3:
            raise ValueError(f"an entity's ID is @name@key, not {scheduler_id!r}")
        return EntityId(parts[1], parts[2])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EntityId) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return self.get_scheduler_id(self)


class DurableEntityContext:
    """For type hints; never instantiated."""

    def __init__(self, *_: Any, **__: Any) -> None:
        no_entities("DurableEntityContext")


class EntityStateResponse:
    """For type hints; never instantiated."""

    def __init__(self, *_: Any, **__: Any) -> None:
        no_entities("EntityStateResponse")


class ManagedIdentityTokenSource:
    """The resource for whose tokens a `call_http` would ask; there is none."""

    def __init__(self, resource: str) -> None:
        self.resource = resource
