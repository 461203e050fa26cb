"""The tour as a marimo notebook: `marimo edit examples/tour_marimo.py`, or run it as a script (`pip install marimo`)."""

from __future__ import annotations

import marimo

app = marimo.App(app_title="A tour of durable_ray")


@app.cell
def _():
    import asyncio
    from dataclasses import dataclass

    import durable_ray as dr

    client = dr.Client()  # joins the Ray that runs on this machine, or starts one
    client
    return asyncio, client, dataclass, dr


@app.cell
def _(asyncio, dataclass, dr):
    @dataclass
    class Greeting:
        city: str
        text: str

    @dr.activity
    def say_hello(city: str) -> Greeting:
        return Greeting(city, f"Hello {city}!")

    @dr.orchestrator
    async def hello_cities(ctx: dr.OrchestrationContext, cities: list[str]) -> list[Greeting]:
        return await asyncio.gather(*(ctx.call_activity(say_hello, city) for city in cities))

    return (hello_cities,)


@app.cell
async def _(client, hello_cities):
    hello = client.start_new(hello_cities, ["Tokyo", "Seattle"], instance_id="marimo-hello")
    greetings = await hello
    print([greeting.text for greeting in greetings])
    hello  # its timeline
    return


@app.cell
def _(dr):
    @dr.orchestrator
    async def approval(ctx: dr.OrchestrationContext, what: str) -> str:
        answer = await ctx.wait_for_external_event("Approval", data_type=str)
        return f"{what}: {answer}"

    return (approval,)


@app.cell
def _(approval, client):
    waiting = client.start_new(approval, "a chair", instance_id="marimo-approval", if_exists="terminate_existing")
    waiting.raise_event("Approval", "granted")
    print(waiting.watch(timeout=120))
    return


@app.cell
def _(client):
    statuses = client.list_instances(instance_id_prefix="marimo-")
    print(statuses)
    statuses
    return


if __name__ == "__main__":
    app.run()
