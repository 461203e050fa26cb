"""Names of things: which instance IDs are allowed, and how IDs that must be the same on every replay are derived."""

from __future__ import annotations

import unicodedata
import uuid

#: Durable Functions' own limit; Ray accepts more, but an ID has to fit into a URL and a file name.
MAX_INSTANCE_ID_LENGTH = 256

#: Characters that would break a URL path or a template of the management API.
_FORBIDDEN = frozenset("/\\#?")

#: IDs that begin so are kept for entities, as in Durable Functions.
RESERVED_PREFIX = "@"

_NAMESPACE = uuid.UUID("9e952958-5e33-4daf-827f-2fa12937b875")


class InvalidInstanceId(ValueError):
    """The instance ID cannot be used; the message says which rule it breaks."""


def validate_instance_id(instance_id: object) -> str:
    """Return `instance_id` unchanged if it may name an instance.

    Rules (those of Durable Functions' HTTP API): a non-empty text of at most 256 characters, no ``/ \\ # ?``, no
    control or surrogate characters, not starting with ``@``.

    Raises:
        InvalidInstanceId: the ID breaks a rule; nothing was written.

    Example:
        >>> validate_instance_id("nightly")
        'nightly'
    """
    if not isinstance(instance_id, str):
        raise InvalidInstanceId(f"an instance ID is a str, not {type(instance_id).__name__}: {instance_id!r}")
    if not instance_id.strip():
        raise InvalidInstanceId("an instance ID must not be empty; leave it out to get a random one")
    if len(instance_id) > MAX_INSTANCE_ID_LENGTH:
        raise InvalidInstanceId(
            f"an instance ID has at most {MAX_INSTANCE_ID_LENGTH} characters, this one has {len(instance_id)}"
        )
    if instance_id.startswith(RESERVED_PREFIX):
        raise InvalidInstanceId(f"instance IDs that begin with '@' are reserved for entities: {instance_id!r}")
    for char in instance_id:
        if char in _FORBIDDEN or unicodedata.category(char) in {"Cc", "Cs"}:
            raise InvalidInstanceId(
                f"an instance ID must not contain / \\ # ? or control characters; {instance_id!r} has {char!r}"
            )
    return instance_id


def child_instance_id(parent_id: str, execution_id: str, task_id: int) -> str:
    """The automatic ID of a sub-orchestration: the same on every replay, another one for every execution."""
    return f"{parent_id}:{execution_id[:8]}:{task_id:04x}"


def next_execution_id(execution_id: str) -> str:
    """The execution that follows `execution_id` by continue-as-new; derived, so that deciding stays pure."""
    return uuid.uuid5(_NAMESPACE, f"continue/{execution_id}").hex


def replayable_uuid(instance_id: str, execution_id: str, counter: int) -> uuid.UUID:
    """The `counter`-th UUID an execution asks for (version 5, as Durable Functions' ``new_guid``)."""
    return uuid.uuid5(_NAMESPACE, f"{instance_id}/{execution_id}/{counter}")
