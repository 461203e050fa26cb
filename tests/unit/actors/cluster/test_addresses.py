"""Which addresses mean the cluster that a process is in, and which another one."""

from __future__ import annotations

import socket
from collections.abc import Collection

import pytest

from durable_ray.actors.cluster import connecting
from durable_ray.actors.cluster.addresses import is_same_cluster, resolved
from durable_ray.actors.errors import HubUnavailable

JOINED, HERE = "10.0.0.7:6379", "10.0.0.7"
NAMES = {"localhost": ["127.0.0.1", "::1"], "me": ["127.0.1.1"], "head": ["10.0.0.7"], "far": ["10.0.0.9"]}


def resolve(host: str) -> Collection[str]:
    return NAMES.get(host, [host])


@pytest.mark.parametrize(
    "asked",
    [
        "auto",
        "local",
        "10.0.0.7:6379",
        "head:6379",
        "127.0.0.1:6379",
        "localhost:6379",
        "[::1]:6379",
        "me:6379",
        "ray://head:10001",
    ],
)
def test_the_cluster_this_process_is_in(asked: str) -> None:
    assert is_same_cluster(asked, JOINED, HERE, resolve)


@pytest.mark.parametrize(
    "asked", ["10.0.0.7:6380", "far:6379", "localhost:6380", "nobody:6379", "ray://far:10001", "10.0.0.7", ""]
)
def test_another_cluster(asked: str) -> None:
    assert not is_same_cluster(asked, JOINED, HERE, resolve)


def test_loopback_on_another_machine_is_another_cluster() -> None:
    assert not is_same_cluster("127.0.0.1:6379", JOINED, "10.0.0.9", resolve)
    assert is_same_cluster("127.0.0.1:6379", "127.0.0.1:6379", "10.0.0.9", resolve)


def test_a_name_that_nobody_knows_stays_a_name() -> None:
    assert resolved("no-such-host.invalid") == {"no-such-host.invalid"}


class _Ray:
    """A process that is in a cluster."""

    def is_initialized(self) -> bool:
        return True

    def get_runtime_context(self) -> _Ray:
        return self

    gcs_address = JOINED


def test_a_client_for_another_cluster_is_told_in_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ray", _Ray())
    monkeypatch.setattr(connecting, "get_node_ip_address", lambda: HERE)
    for same in (None, "auto", "127.0.0.1:6379"):
        assert connecting.join_ray(same) is False
    with pytest.raises(HubUnavailable, match=r"in the Ray cluster at 10\.0\.0\.7:6379.*ray\.shutdown"):
        connecting.join_ray("10.0.0.9:6379")


def test_an_address_where_nothing_listens_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting.ray, "init", lambda **_: pytest.fail("Ray would try for minutes"))
    monkeypatch.setattr(connecting.ray, "is_initialized", lambda: False)
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(HubUnavailable, match=rf"nothing listens at {address}"):
            connecting.join_ray(address)
