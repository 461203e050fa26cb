"""How an instance comes into the world: the row of a new one, for starters and for parents alike."""

from __future__ import annotations

from msgspec.structs import replace

from durable_ray.actors.clock import LATEST
from durable_ray.actors.code.definition_cache import Library
from durable_ray.actors.instances.placement import choose, host_of
from durable_ray.actors.messages import Wish
from durable_ray.actors.registry.instance_limiter import limit_of
from durable_ray.actors.store.held import hold
from durable_ray.actors.store.hub_config import Settled
from durable_ray.actors.store.records import InstanceRow, NewInstance, Placement
from durable_ray.actors.store.retention import own_settings
from durable_ray.orchestrations.history.transition import ChildStart
from durable_ray.orchestrations.values.ids import child_instance_id, next_execution_id


class Nursery:
    """Makes rows of new instances by what the hub's definitions and settings say."""

    def __init__(self, library: Library, settings: Settled) -> None:
        self._library = library
        self._settings = settings

    @property
    def revision(self) -> int:
        """That of the definitions it goes by."""
        return self._library.revision

    def missing(self, wish: Wish) -> str:
        """Why there is no row of what is wished, as an answer names it."""
        version = f" version {wish.version!r}" if wish.version else ""
        why = self._library.unreadable.get(("orchestrator", wish.name))
        return f"{wish.name!r}{version}" + (f" that can be used ({why})" if why else "")

    def conceive(self, wish: Wish, now: int) -> NewInstance | None:
        """The row of a new instance, or None if no such orchestrator is deployed."""
        known = self._library.known_orchestrator(wish.name, wish.version)
        if known is None:
            return None
        options, settings = known.options, self._settings
        default: Placement = "dedicated" if settings.default_placement == "dedicated" else "shared"
        placement = choose(options.placement, wish.placement, default, named=wish.named)
        environment = self._library.environment(known.row)
        start_at = wish.start_at if wish.delay is None else now + wish.delay
        if start_at is not None:
            start_at = min(max(0, start_at), LATEST)
        return NewInstance(
            instance_id=wish.instance_id,
            execution_id=wish.execution_id,
            name=known.row.name,
            host=host_of(placement, wish.instance_id, settings.partitions, environment),
            placement=placement,
            created_at=now,
            version=known.row.version,
            code_id=known.row.code_id,
            input=wish.input,
            start_at=start_at if limit_of(wish.name, self._library, settings) is None else hold(start_at),
            tags=wish.tags,
            priority=options.priority if wish.priority is None else wish.priority,
            environment=environment,
            settings=own_settings(options, settings),
        )

    def birth(self, start: ChildStart, now: int) -> NewInstance:
        """The row of a sub-orchestration. An automatic ID is shared unless its orchestrator declares otherwise."""
        parent = start.parent
        automatic = parent is not None and start.instance_id == child_instance_id(
            parent.instance_id, parent.execution_id, start.task_id
        )
        execution_id = next_execution_id(f"{start.instance_id}/{parent}/{start.task_id}/{start.attempt}/{now}")
        wish = Wish(
            start.name,
            start.instance_id,
            execution_id,
            named=not automatic,
            input=start.input,
            version=start.version,
        )
        new = self.conceive(wish, now)
        assert new is not None, "settle only asks for children whose orchestrator is deployed"
        return replace(new, parent=parent)

    @staticmethod
    def row(new: NewInstance) -> InstanceRow:
        """The row as the store has it right after the start."""
        return InstanceRow(
            instance_id=new.instance_id,
            execution_id=new.execution_id,
            name=new.name,
            version=new.version,
            code_id=new.code_id,
            status="Pending",
            placement=new.placement,
            host=new.host,
            resident=new.placement == "shared",
            turn=0,
            events=0,
            generation=0,
            created_at=new.created_at,
            updated_at=new.created_at,
            started_at=None,
            completed_at=None,
            start_at=new.start_at,
            next_due=new.start_at,
            input=new.input,
            output=None,
            custom_status=None,
            failure=None,
            parent=new.parent,
            tags=new.tags,
            priority=new.priority,
            recoveries=0,
            waiting_reason=None,
            environment=new.environment,
            settings=new.settings,
        )
