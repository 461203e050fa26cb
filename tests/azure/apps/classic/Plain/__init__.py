"""An orchestrator that is no generator."""

from __future__ import annotations

import azure.durable_functions as df


def orchestrator(context):
    return "no step was needed"


main = df.Orchestrator.create(orchestrator)
