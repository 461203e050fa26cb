"""Makes the row of a new instance, for starts and for sub-orchestrations alike."""

from __future__ import annotations

from msgspec.structs import asdict, replace

from durable_ray.actors.clock import LATEST
from durable_ray.actors.code.definition_cache import DefinitionCache
from durable_ray.actors.instances.placement import choose, host_of
from durable_ray.actors.messages import StartOptions
from durable_ray.actors.registry.instance_limiter import limit_of
from durable_ray.actors.store.hub_config import HubConfig, own_settings
from durable_ray.actors.store.records import InstanceRow, NewInstance, Placement
from durable_ray.orchestrations.history.transition import ChildStart
from durable_ray.orchestrations.values.ids import child_instance_id, next_execution_id


class InstanceFactory:
    """Makes rows of new instances by the hub's definitions and settings."""

    def __init__(self, definition_cache: DefinitionCache, settings: HubConfig) -> None:
        self._definition_cache = definition_cache
        self._settings = settings

    @property
    def revision(self) -> int:
        """The revision of the definitions that it uses."""
        return self._definition_cache.revision

    def missing(self, start_options: StartOptions) -> str:
        """Why no row can be made, for the reply."""
        version = f" version {start_options.version!r}" if start_options.version else ""
        why = self._definition_cache.unreadable.get(("orchestrator", start_options.name))
        return f"{start_options.name!r}{version}" + (f" that can be used ({why})" if why else "")

    def new_instance(self, start_options: StartOptions, now: int) -> NewInstance | None:
        """The row of a new instance, or None if no such orchestrator is deployed."""
        known = self._definition_cache.known_orchestrator(start_options.name, start_options.version)
        if known is None:
            return None
        options, settings = known.options, self._settings
        default: Placement = "dedicated" if settings.default_placement == "dedicated" else "shared"
        placement = choose(options.placement, start_options.placement, default, named=start_options.named)
        environment = self._definition_cache.environment(known.row)
        start_at = start_options.start_at if start_options.delay is None else now + start_options.delay
        if start_at is not None:
            start_at = min(max(0, start_at), LATEST)
        return NewInstance(
            instance_id=start_options.instance_id,
            execution_id=start_options.execution_id,
            name=known.row.name,
            host=host_of(placement, start_options.instance_id, settings.partitions, environment),
            placement=placement,
            created_at=now,
            version=known.row.version,
            code_id=known.row.code_id,
            input=start_options.input,
            start_at=start_at,
            queued=limit_of(start_options.name, self._definition_cache, settings) is not None,
            tags=start_options.tags,
            priority=options.priority if start_options.priority is None else start_options.priority,
            environment=environment,
            settings=own_settings(options, settings),
        )

    def new_child(self, start: ChildStart, now: int) -> NewInstance:
        """The row of a sub-orchestration. An automatic ID is shared unless its orchestrator declares otherwise."""
        parent = start.parent
        automatic = parent is not None and start.instance_id == child_instance_id(
            parent.instance_id, parent.execution_id, start.task_id
        )
        execution_id = next_execution_id(f"{start.instance_id}/{parent}/{start.task_id}/{start.attempt}/{now}")
        start_options = StartOptions(
            start.name,
            start.instance_id,
            execution_id,
            named=not automatic,
            input=start.input,
            version=start.version,
        )
        new = self.new_instance(start_options, now)
        assert new is not None, "settle only asks for children whose orchestrator is deployed"
        return replace(new, parent=parent)

    @staticmethod
    def row(new: NewInstance) -> InstanceRow:
        """The row as the store has it right after the start."""
        return InstanceRow(
            **asdict(new), resident=new.placement == "shared", updated_at=new.created_at, next_due=new.first_due
        )
