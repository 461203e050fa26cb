"""The smallest orchestration: three activities, one after the other. `python examples/hello.py`"""

from __future__ import annotations

import durable_ray as dr


@dr.activity
def say_hello(city: str) -> str:
    return f"Hello {city}!"


@dr.orchestrator
async def hello_cities(ctx: dr.OrchestrationContext, cities: list[str]) -> list[str]:
    return [await ctx.call_activity(say_hello, city) for city in cities]


def main(client: dr.Client) -> None:
    # With an ID the instance is a singleton: while it runs, nobody can start another of that ID.
    handle = client.start_new(hello_cities, ["Tokyo", "Seattle", "London"], instance_id="hello")
    print(handle.wait_for_completion(timeout=60))


if __name__ == "__main__":
    main(dr.Client())
