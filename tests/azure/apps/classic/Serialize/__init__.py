"""An orchestrator that hands a value of a class of its own to an activity."""

from __future__ import annotations

import azure.durable_functions as df
from shared.numbers import Number


def orchestrator_function(context: df.DurableOrchestrationContext):
    number = Number(context.get_input())
    other = yield context.call_activity("Show", number)
    return [number.shown(), other.shown()]


main = df.Orchestrator.create(orchestrator_function)
