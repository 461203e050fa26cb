"""Routing of requests to the host of an instance, with retries: the client's half of the protocol.

Hosts come and go: an actor dies and is restarted, an instance is passivated or activated elsewhere. Every request carries an
ID and is repeated with it, so asking twice is never doing twice.
"""

from __future__ import annotations

import numbers
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from msgspec.structs import replace

from durable_ray.actors.api import HostApi
from durable_ray.actors.errors import HubUnavailable
from durable_ray.actors.instances.placement import is_dedicated
from durable_ray.actors.messages import Delivery, Ending, Reply, StartRequest
from durable_ray.actors.registry.registry import Registry
from durable_ray.client.steps import Call, InOrder, Pause, Steps, TargetGone, TargetUnavailable
from durable_ray.orchestrations.history.events import EventRaised
from durable_ray.orchestrations.values.times import seconds as limit_in_seconds

P = ParamSpec("P")
R = TypeVar("R")

REGISTRY = "registry"

#: Seconds an operation is tried for, unless its caller says otherwise: longer than Ray needs to restart an actor.
PATIENCE = 60.0
#: Seconds of one long poll; a bit less than the host's own slice.
_SLICE = 9.0
_KNOWN_HOSTS = 100_000
#: Seconds for which a process of one instance is asked because the instance was seen there once, or was to be; and because the
#: registry has just confirmed that it is there. Then the registry is asked (again).
_HINT_SECONDS, _CONFIRMED_SECONDS = 5.0, 15.0
#: Seconds for a start or a message at a shared host or the registry. It is called again then, through Ray, which knows if its
#: machine is frozen: a socket to a stopped process stays silent for ever.
_SHARED_SECONDS = 20.0
#: How many attempts are made even with a timeout of zero, which asks for the status now.
_ATTEMPTS = 3


class Router:
    """Knows (or learns) which host an instance lives on."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, str] = OrderedDict()

    def remember(self, instance_id: str, host: str) -> None:
        """This instance was seen at `host`."""
        self._hosts[instance_id] = host
        self._hosts.move_to_end(instance_id)
        if len(self._hosts) > _KNOWN_HOSTS:
            self._hosts.popitem(last=False)

    def forget(self, instance_id: str) -> None:
        """It is not there any more."""
        self._hosts.pop(instance_id, None)

    def registry(
        self, method: Callable[Concatenate[Registry, P], Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> Steps[R]:
        """Call a method of the registry (`Registry.query`); it is called again while it is being restarted. Only for what may
        be called twice."""
        return self.registry_within(PATIENCE, method, *args, **kwargs)

    def registry_within(
        self,
        seconds: float,
        method: Callable[Concatenate[Registry, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Steps[R]:
        """As `registry`, for so many seconds."""
        patience = _Patience(seconds)
        while True:
            try:
                answer: R = yield Call(REGISTRY, method, args, kwargs, patience.left)
                return answer
            except (TargetGone, TargetUnavailable) as error:
                yield patience.pause(error)

    def start(self, requests: Sequence[StartRequest], host: str | None) -> Steps[list[Reply]]:
        """Start instances: those of one partition there, others through the registry."""
        patience = _Patience(PATIENCE)
        target = host or REGISTRY
        while True:
            try:
                seconds = min(patience.left, _SHARED_SECONDS)
                replies = yield from _call(target, seconds, HostApi.start_many, requests)
            except TargetGone as error:
                if target != REGISTRY:
                    yield from self.registry(Registry.ensure, target)
                yield patience.pause(error)
            except TargetUnavailable as error:
                requests = [replace(request, retry=True) for request in requests]
                yield patience.pause(error)
            else:
                if target != REGISTRY and any(reply.code == "moved" for reply in replies):
                    return (yield from self._start_moved(requests, replies))
                return replies

    def _start_moved(self, requests: Sequence[StartRequest], replies: Sequence[Reply]) -> Steps[list[Reply]]:
        moved = [q for q, reply in zip(requests, replies, strict=True) if reply.code == "moved"]
        again = iter((yield from self.start(moved, None)))
        return [next(again) if reply.code == "moved" else reply for reply in replies]

    def deliver(self, delivery: Delivery) -> Steps[Reply]:
        """Bring a message to an instance, wherever it is, behind what this client was asked to bring to it before."""
        # A control message depends on those before it; events are only kept in their order.
        alone = not isinstance(delivery.message.event, EventRaised)
        reply: Reply = yield InOrder(delivery.instance_id, delivery, self._deliver, alone)
        return reply

    def _deliver(self, deliveries: Sequence[Delivery]) -> Steps[list[Reply]]:
        """Bring messages to one instance, all of them in their order."""
        patience = _Patience(PATIENCE)
        instance_id = deliveries[0].instance_id
        replies: dict[str, Reply] = {}
        left = list(deliveries)
        worth = _HINT_SECONDS
        while True:
            host = self._hosts.get(instance_id)
            alone = host is not None and is_dedicated(host)
            seconds = min(patience.left, worth if alone else _SHARED_SECONDS)
            try:
                answers = yield from _call(host or REGISTRY, seconds, HostApi.deliver_many, left)
            except TargetGone as error:
                yield from self._gone(instance_id, host)
                yield patience.pause(error)
                continue
            except TargetUnavailable as error:
                left = [replace(delivery, retry=True) for delivery in left]
                self._doubt(instance_id, host)
                yield patience.pause(error)
                continue
            answered = list(zip(left, answers, strict=True))
            replies.update((delivery.request_id, reply) for delivery, reply in answered if reply.code != "moved")
            moved = [(delivery, reply) for delivery, reply in answered if reply.code == "moved"]
            if not moved:
                return [replies[delivery.request_id] for delivery in deliveries]
            if len(moved) < len(left):
                patience.renew()
            # They may have been committed before their host exited: the next one checks for a receipt first.
            left = [delivery if host is None else replace(delivery, retry=True) for delivery, _ in moved]
            worth = _CONFIRMED_SECONDS if host is None else _HINT_SECONDS
            yield from self._moved(instance_id, host, moved[0][1].host, patience)

    def ask_host(self, host: str, delivery: Delivery) -> Steps[Reply]:
        """Bring a message to the host of that name, which is made if it is not there."""
        patience = _Patience(PATIENCE)
        while True:
            error: Exception | None = None
            try:
                (reply,) = yield from _call(host, patience.left, HostApi.deliver_many, [delivery])
                if reply.code != "moved":
                    return reply
            except (TargetGone, TargetUnavailable) as raised:
                error = raised
            yield from self.registry(Registry.ensure, host)
            yield patience.pause(error)

    def deliver_each(self, deliveries: Sequence[Delivery]) -> Steps[list[Reply]]:
        """Bring many messages to many instances: the registry sorts them, each shared host gets its own in one call."""
        deliveries = [replace(delivery, retry=True) for delivery in deliveries]  # the registry may be asked twice
        replies = yield from self.registry(HostApi.deliver_many, deliveries)
        by_host: dict[str, list[int]] = {}
        for position, reply in enumerate(replies):
            if reply.code == "moved":
                by_host.setdefault(reply.host, []).append(position)
        for host, positions in by_host.items():
            group = [deliveries[position] for position in positions]
            answers: list[Reply] = []
            if len(group) > 1:
                try:
                    answers = yield from _call(host, PATIENCE, HostApi.deliver_many, group)
                except (TargetGone, TargetUnavailable):
                    answers = []
            for number, position in enumerate(positions):
                answer = answers[number] if answers else Reply("moved")
                replies[position] = answer if answer.code != "moved" else (yield from self.deliver(group[number]))
        return replies

    def wait(self, instance_id: str, seconds: float | None, *, start: bool = False) -> Steps[Ending | None]:
        """How the instance ended (or, with `start`, that it began); None when `seconds` have passed."""
        seconds = _limit(seconds)
        until = None if seconds is None else time.monotonic() + seconds
        patience, attempts = _Patience(PATIENCE), _ATTEMPTS
        while True:
            left = _SLICE if until is None else max(0.0, until - time.monotonic())
            if not left and not attempts:
                return None
            attempts = max(0, attempts - 1)
            host = self._hosts.get(instance_id)
            slice_ = min(left, _SLICE)
            grace = _HINT_SECONDS if host is not None and is_dedicated(host) else 20.0
            call = _call(host or REGISTRY, slice_ + grace, HostApi.wait, [instance_id], slice_, start=start)
            try:
                endings = yield from call
            except (TargetGone, TargetUnavailable) as error:
                if isinstance(error, TargetGone):
                    yield from self._gone(instance_id, host)
                else:
                    self._doubt(instance_id, host)
                yield patience.pause(error)
                continue
            patience.renew()
            if endings and endings[0].status != "moved":
                return endings[0]
            if endings:
                yield from self._moved(instance_id, host, "", patience)
            else:
                attempts = 0

    def wait_all(self, instance_ids: Sequence[str], seconds: float | None) -> Steps[dict[str, Ending]]:
        """How all of these ended; those that have not after `seconds` are missing."""
        seconds = _limit(seconds)
        until = None if seconds is None else time.monotonic() + seconds
        found: dict[str, Ending] = {}
        missing = list(dict.fromkeys(instance_ids))
        if seconds is not None and seconds <= 0:
            for instance_id in missing:
                ending = yield from self.wait(instance_id, 0.0)
                if ending is not None:
                    found[instance_id] = ending
            return found
        while missing:
            left = _SLICE if until is None else until - time.monotonic()
            if left <= 0:
                break
            host = self._hosts.get(missing[0])
            group = [i for i in missing if self._hosts.get(i) == host]
            if host is None or is_dedicated(host):
                ending = yield from self.wait(missing[0], None if until is None else left)
                if ending is not None:
                    found[ending.instance_id] = ending
            else:
                slice_ = min(left, _SLICE)
                try:
                    endings = yield from _call(host, slice_ + 20, HostApi.wait, group, slice_, all_of_them=True)
                except (TargetGone, TargetUnavailable):
                    yield from self.registry(Registry.ensure, host)
                    continue
                for ending in endings:
                    if ending.status == "moved":
                        self.forget(ending.instance_id)
                    else:
                        found[ending.instance_id] = ending
            missing = [i for i in missing if i not in found]
        return found

    def _gone(self, instance_id: str, host: str | None) -> Steps[None]:
        """No actor: a partition is made again, a dedicated instance is passivated or elsewhere."""
        if host is not None and not is_dedicated(host):
            yield from self.registry(Registry.ensure, host)
        else:
            self.forget(instance_id)

    def _doubt(self, instance_id: str, host: str | None) -> None:
        """Who was thought to hold it does not answer. It may never have come up: only the registry knows, and can do without
        it. Of a shared instance it knows no more than is known here."""
        if host is not None and is_dedicated(host):
            self.forget(instance_id)

    def _moved(self, instance_id: str, host: str | None, hint: str, patience: _Patience) -> Steps[None]:
        if host is not None:
            self.forget(instance_id)
            yield patience.pause(None)
            return
        where = hint
        if not where:
            found = yield from self.registry(Registry.resolve, [instance_id])
            where = found[instance_id][0] if instance_id in found else ""
        if where:
            self.remember(instance_id, where)


def _call(
    target: str,
    seconds: float,
    method: Callable[Concatenate[HostApi, P], Coroutine[Any, Any, R]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Steps[R]:
    """Call a host, or the registry in the same terms, once."""
    answer: R = yield Call(target, method, args, kwargs, seconds)
    return answer


def _limit(given: object) -> float | None:
    """Seconds to wait for, None for ever. Raises TypeError or ValueError for what is no limit."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise TypeError(f"a timeout is a number of seconds, or None to wait for ever, not {given!r}")
    if given != given:
        raise ValueError("a timeout is a number of seconds, or None to wait for ever, not NaN")
    number: Any = given
    return limit_in_seconds(number if isinstance(number, int) else float(number), "timeout")


class _Patience:
    """A deadline, and pauses that grow until it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Somebody answered: begin anew."""
        self._until = time.monotonic() + self._seconds
        self._pause = 0.01

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(self._until - time.monotonic(), 0.1)

    def pause(self, error: Exception | None) -> Pause:
        """The next pause. Raises HubUnavailable when the deadline has passed."""
        if time.monotonic() > self._until:
            raise HubUnavailable(
                f"the hub did not answer for {self._seconds:.0f} s. Is the cluster up (`ray status`), the hub started "
                f"(`durable-ray up`), the token set (RAY_AUTH_MODE=token)? Last error: {error}"
            ) from error
        self._pause = min(self._pause * 2, 0.5)
        return Pause(self._pause)
