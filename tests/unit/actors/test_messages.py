"""Contract: what travels comes out of a pickle as it went in, whichever of its values are left at their defaults.

What is secret in it is not shown.
"""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from durable_ray.actors.activities.ports import Address, Invocation
from durable_ray.actors.messages import Delivery, Ending, Reply, StartOptions, StartRequest
from durable_ray.actors.wire.address import WireAddress
from durable_ray.actors.wire.management_urls import GatewayAddress
from durable_ray.orchestrations.history.events import ActivityCompleted, ActivityFailed, EventRaised, Message
from durable_ray.orchestrations.values.failures import FailureDetails

_WISH = StartOptions("hello", "i", "e", True, '"x"', tags={"a": "b"}, priority=3)
_ADDRESS = Address("i", "e", 1, 2)


@pytest.mark.parametrize(
    "value",
    [
        _WISH,
        StartRequest("r", _WISH, "use_existing", retry=True, signal=Message("m", EventRaised("go"))),
        Delivery("r", "i", Message("m", EventRaised("go", "1", "m"))),
        Reply("ok", host="partition-0"),
        Ending("i", "Completed", "1"),
        _ADDRESS,
        Invocation(_ADDRESS, "double", "c", None),
        ActivityCompleted(1, "2", 3, 4),
        ActivityFailed(1, FailureDetails("E", "m"), 3, 4),
    ],
)
def test_it_comes_out_as_it_went_in(value: Any) -> None:
    found = pickle.loads(pickle.dumps(value, protocol=5))
    assert found == value
    names = type(value).__match_args__
    assert [getattr(found, name) for name in names] == [getattr(value, name) for name in names]


def test_no_key_is_shown() -> None:
    """A repr ends in logs; whoever reads those must not be let in."""
    assert repr(GatewayAddress("http://h:1", "s3cret", "hub")) == (
        "GatewayAddress(base_url='http://h:1', hub='hub', connection='Storage')"
    )
    assert repr(WireAddress("a", b"s3cret", b"s3cret")) == "WireAddress(name='a')"
