"""The client's half of the protocol, step by step: where an instance was seen is a hint, and the registry's word counts."""

from __future__ import annotations

from typing import Any

import pytest

from durable_ray.actors.instances.placement import dedicated_host
from durable_ray.actors.messages import Delivery, Ending, Reply, StartOptions, StartRequest
from durable_ray.client.router import REGISTRY, Router
from durable_ray.client.steps import Call, Pause, Steps, TargetUnavailable
from durable_ray.orchestrations.history import events as ev
from durable_ray.orchestrations.history.events import Message

HOST = dedicated_host("i")
END = Delivery("r", "i", Message("r", ev.TerminateRequested('"enough"')))


class Driven:
    """Steps whose every call a test answers."""

    def __init__(self, steps: Steps[Any]) -> None:
        self.steps = steps
        self.result: Any = None

    def next(self, answer: Any = None) -> Call | None:
        """The next call, or None at the end; pauses are over at once."""
        try:
            wanted = self.steps.throw(answer) if isinstance(answer, Exception) else self.steps.send(answer)
            while isinstance(wanted, Pause):
                wanted = self.steps.send(None)
        except StopIteration as end:
            self.result = end.value
            return None
        assert isinstance(wanted, Call)
        return wanted


@pytest.fixture
def reach() -> Router:
    one = Router()
    one.remember("i", HOST)
    return one


@pytest.mark.parametrize("host", ["partition-0", None])
def test_a_shared_host_that_says_nothing_is_asked_again_well_before_the_patience_is_over(host: str | None) -> None:
    reach = Router()
    if host:
        reach.remember("i", host)
    driven = Driven(reach._deliver([END]))
    call = driven.next()
    for _ in range(2):
        assert call is not None
        assert (call.target, call.seconds <= 20) == (host or REGISTRY, True)
        call = driven.next(TargetUnavailable("no answer"))
    assert call is not None
    assert call.args[0][0].retry


def test_a_start_that_is_not_answered_is_repeated_well_before_the_patience_is_over() -> None:
    request = StartRequest("r", StartOptions("hello", "i"))
    driven = Driven(Router().start([request], "partition-0"))
    call = driven.next()
    assert call is not None
    assert call.seconds <= 20
    call = driven.next(TargetUnavailable("no answer"))
    assert call is not None
    assert call.args[0][0].retry


def test_a_remembered_process_that_does_not_answer_is_not_asked_for_long_and_then_the_registry(reach: Router) -> None:
    driven = Driven(reach._deliver([END]))
    call = driven.next()
    assert call is not None
    assert (call.target, call.args) == (HOST, ([END],))
    assert call.seconds <= 5
    call = driven.next(TargetUnavailable("no answer"))
    assert call is not None
    assert call.target == REGISTRY
    assert call.args[0][0].retry, "it may have been taken there"
    assert driven.next([Reply("ok")]) is None
    assert driven.result == [Reply("ok")]


def test_one_that_the_registry_sends_back_to_is_asked_for_longer_but_not_for_ever(reach: Router) -> None:
    driven = Driven(reach._deliver([END]))
    driven.next()
    driven.next(TargetUnavailable("no answer"))
    call = driven.next([Reply("moved", host=HOST)])
    assert call is not None
    assert call.target == HOST
    assert 5 < call.seconds <= 15
    call = driven.next(TargetUnavailable("no answer"))
    assert call is not None
    assert call.target == REGISTRY


def test_who_waits_at_a_process_that_does_not_answer_waits_at_the_registry(reach: Router) -> None:
    driven = Driven(reach.wait("i", 30.0))
    call = driven.next()
    assert call is not None
    assert call.target == HOST
    assert call.seconds < 15
    call = driven.next(TargetUnavailable("no answer"))
    assert call is not None
    assert call.target == REGISTRY
    assert driven.next([Ending("i", "Terminated")]) is None
    assert driven.result.status == "Terminated"


def test_a_partition_is_where_it_always_is() -> None:
    reach = Router()
    reach.remember("i", "partition-0")
    driven = Driven(reach._deliver([END]))
    call = driven.next()
    assert call is not None
    assert 15 < call.seconds <= 20
    call = driven.next(TargetUnavailable("no answer"))
    assert call is not None
    assert call.target == "partition-0"
