"""Where an instance lives follows from its ID and from what was asked, the same in every process and for ever."""

from __future__ import annotations

from collections import Counter

import pytest

from durable_ray.actors.instances.placement import (
    choose,
    dedicated_host,
    environment_of,
    host_of,
    instance_of,
    is_dedicated,
    partition_host,
)


def test_partitions_are_stable() -> None:
    # Written down: another answer would strand every shared instance of an existing store.
    assert [partition_host(name, 8) for name in ("a", "nightly", "ünit", "")] == [
        "partition-7",
        "partition-4",
        "partition-2",
        "partition-4",
    ]


def test_partitions_share_the_load() -> None:
    spread = Counter(partition_host(f"instance {n}", 4) for n in range(4000))
    assert len(spread) == 4
    assert max(spread.values()) < 1150


def test_a_host_s_name_says_what_it_is() -> None:
    assert instance_of(dedicated_host("x@y:z")) == "x@y:z"
    assert is_dedicated(dedicated_host("partition-1"))
    assert not is_dedicated(partition_host("instance:x", 2))
    assert environment_of(partition_host("a", 2, "abc")) == "abc"
    assert environment_of(partition_host("a", 2)) == ""
    assert environment_of(dedicated_host("me@home")) == ""


@pytest.mark.parametrize(
    ("declared", "asked", "default", "named", "placement"),
    [
        (None, None, "dedicated", True, "dedicated"),
        (None, None, "dedicated", False, "shared"),
        (None, None, "shared", True, "shared"),
        ("dedicated", None, "shared", False, "dedicated"),
        ("dedicated", "shared", "dedicated", True, "shared"),
        (None, "dedicated", "shared", False, "dedicated"),
    ],
)
def test_who_decides_the_placement(declared: str, asked: str, default: str, named: bool, placement: str) -> None:
    assert choose(declared, asked, default, named=named) == placement  # type: ignore[arg-type]


def test_the_host_goes_with_the_placement() -> None:
    assert host_of("dedicated", "i", 4, "env") == "instance:i"
    assert host_of("shared", "i", 4, "env") == partition_host("i", 4, "env")
