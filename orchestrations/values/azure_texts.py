"""Failure texts of Azure: those that code written for Durable Functions parses, of its Python SDK and its HTTP API.

`str(error)` in an orchestrator is `{reason} \\n {details}`: the reason names the function, the details are a JSON object whose
`Message` has type and message of what was raised.
"""

from __future__ import annotations

import json
import re

from durable_ray.orchestrations.values.failures import (
    ActivityFailed,
    FailureDetails,
    SubOrchestrationFailed,
    TaskFailed,
)

#: The engine's own text for a failed task.
_OWN = re.compile(r"(Activity|Sub-orchestration) '(.*?)' \(#\d+\) failed: ", re.DOTALL)
_FAILED_TASKS = tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in (ActivityFailed, SubOrchestrationFailed))


def activity_reason(name: str, failure: FailureDetails) -> str:
    """The first line: which activity failed, and how. The two spaces are Azure's."""
    return f"Activity function '{name}' failed:  {_raised(failure)}"


def orchestrator_text(name: str, failure: FailureDetails) -> str:
    """The output of a failed orchestration."""
    text = failure.message
    if failure.error_type in _FAILED_TASKS and failure.cause is not None:
        text = _translated(text, failure.cause)
    return f"Orchestrator function '{name}' failed: {text or failure.error_type.rpartition('.')[2]}"


def details_of(failure: FailureDetails) -> str:
    """The second line: what was raised, as .NET's serializer shows an exception."""
    shown = {
        "$type": "System.Exception, System.Private.CoreLib",
        "ClassName": "System.Exception",
        "Message": f" {_raised(failure)}",
        "Data": None,
        "InnerException": None,
    }
    return json.dumps(shown, ensure_ascii=False)


def _raised(failure: FailureDetails) -> str:
    """What was raised, by its bare name: apps match `<type>: <message>`."""
    return f"{failure.error_type.rpartition('.')[2]}: {failure.message}"


def speak_azure(error: BaseException) -> None:
    """Give an error that orchestrator code is about to see Azure's text; it stays the same object."""
    if isinstance(error, TaskFailed):
        error.args = (_translated(str(error), error.details),)


def _translated(text: str, failure: FailureDetails) -> str:
    own = _OWN.match(text)
    if own is None:
        return text
    kind, name = own.groups()
    reason = activity_reason(name, failure) if kind == "Activity" else orchestrator_text(name, failure)
    return f"{reason} \n {details_of(failure)}"
