"""A bounded cache: what was looked for lately stays."""

from __future__ import annotations

from durable_ray.actors.code.recent import Recent


def test_the_one_that_was_not_looked_for_for_longest_makes_room() -> None:
    cache = Recent[int, str](3)
    for number in range(1_000):
        cache[number] = str(number)
        assert cache.get(0) == "0", "it is looked for all the time"
        assert cache.get(-1) is None
    assert sorted(cache) == [0, 998, 999]
    cache.clear()
    assert (len(cache), cache.get(0)) == (0, None)
