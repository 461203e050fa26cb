"""Names of things: which instance IDs, event names, names of definitions, versions and tags are allowed, and how IDs that
must be the same on every replay are derived.

IDs and names are parts of URLs, so one rule is behind them: what is allowed here passes every API, and every API refuses
what is not. All of these are in indexes, and an entry of PostgreSQL's B-tree has at most 2704 bytes; so each is bounded such
that what an index has together fits, at four bytes a character.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Mapping

#: Durable Functions' own limit, in characters; an ID has to fit into a URL.
MAX_INSTANCE_ID_LENGTH = 256
MAX_EVENT_NAME_LENGTH = 256
MAX_NAME_LENGTH = 200
MAX_VERSION_LENGTH = 200
#: A tag is indexed with the ID of its instance.
MAX_TAG_KEY_LENGTH, MAX_TAG_VALUE_LENGTH = 128, 256
MAX_TAGS = 50
#: Longer message IDs, which grow with each generation of a tree of sub-orchestrations, are replaced by a hash.
_MAX_MESSAGE_ID_LENGTH = 128

#: Characters that would break a URL path or a template of the management API.
_FORBIDDEN = frozenset("/\\#?")
#: What clients, browsers and proxies take out of a path before they send it, however it is encoded.
_DOT_SEGMENTS = frozenset({".", ".."})

#: IDs that begin so are kept for entities, as in Durable Functions.
RESERVED_PREFIX = "@"

#: Tags of an instance that a schedule started: the schedule's ID, and the time due.
SCHEDULE_TAG, SCHEDULED_AT_TAG = "durable_ray.schedule", "durable_ray.scheduled_at"

_NAMESPACE = uuid.UUID("9e952958-5e33-4daf-827f-2fa12937b875")


class InvalidInstanceId(ValueError):
    """The instance ID cannot be used; the message says which rule it breaks."""


class InvalidEventName(ValueError):
    """No event can have this name; the message says which rule it breaks."""


class InvalidLabel(ValueError):
    """No instance can have this tag, or no orchestrator this version; the message says which rule it breaks."""


def validate_instance_id(instance_id: object) -> str:
    """Return `instance_id` unchanged if it may name an instance.

    Rules (those of Durable Functions' HTTP API): a non-empty text of at most 256 characters, no ``/ \\ # ?``, no
    control or surrogate characters, not starting with ``@``; and not ``.`` or ``..``, which no URL can contain.

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
    if wrong := _wrong(instance_id, MAX_INSTANCE_ID_LENGTH):
        raise InvalidInstanceId(f"an instance ID {wrong}")
    if instance_id.startswith(RESERVED_PREFIX):
        raise InvalidInstanceId(f"instance IDs that begin with '@' are reserved for entities: {instance_id!r}")
    return instance_id


def validate_event_name(name: object) -> str:
    """Return `name` unchanged if an event may have it: by the rules of an instance ID, but it may begin with ``@``.

    Raises:
        InvalidEventName: the name breaks a rule; nothing was written.

    Example:
        >>> validate_event_name("Approval")
        'Approval'
    """
    if not isinstance(name, str):
        raise InvalidEventName(f"an event needs a name that is a text, not {name!r}")
    if not name.strip():
        raise InvalidEventName("an event needs a name")
    if wrong := _wrong(name, MAX_EVENT_NAME_LENGTH):
        raise InvalidEventName(f"an event's name {wrong}")
    return name


def validate_definition_name(name: object) -> str:
    """Return `name` unchanged if an activity or orchestrator may have it. Raises ValueError."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a definition's name is a text of 1 to {MAX_NAME_LENGTH} characters, not {name!r}")
    if wrong := _wrong(name, MAX_NAME_LENGTH):
        raise ValueError(f"a definition's name {wrong}")
    if not name.isprintable():
        raise ValueError(f"a definition's name must not contain characters that cannot be printed: {name!r}")
    return name


def validate_version(version: object) -> str:
    """Return `version` unchanged if an orchestrator may have it: a text of at most 200 characters, empty for none.

    Raises:
        InvalidLabel: the version breaks a rule.

    Example:
        >>> validate_version("2.1")
        '2.1'
    """
    if not isinstance(version, str):
        raise InvalidLabel(f"version is a text, not {version!r}")
    if wrong := _unstorable(version, MAX_VERSION_LENGTH, {"Cc", "Cs"}):
        raise InvalidLabel(f"a version {wrong}")
    return version


def validate_tags(tags: object) -> dict[str, str]:
    """Return a copy of `tags` if an instance may have them: at most 50; None are none.

    A key is a non-empty text of at most 128 characters without ``=`` and control characters, for ``key=value`` is how it is
    written in URLs and on the command line. A value has at most 256 characters and no U+0000.

    Raises:
        TypeError: not a mapping of texts to texts.
        InvalidLabel: a key or a value breaks a rule.

    Example:
        >>> validate_tags({"team": "blue"})
        {'team': 'blue'}
    """
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        raise TypeError(f"tags are a mapping of texts to texts, not {tags!r}")
    found = dict(tags)
    if len(found) > MAX_TAGS:
        raise InvalidLabel(f"an instance has at most {MAX_TAGS} tags, not {len(found)}")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"tags are texts: {key!r} -> {value!r} is not; write str({value!r})")
        if not key.strip() or "=" in key:
            raise InvalidLabel(
                f"a tag's key is not blank and has no '=' in it, as key=value is written; {key!r} is none"
            )
        if wrong := _unstorable(key, MAX_TAG_KEY_LENGTH, {"Cc", "Cs"}):
            raise InvalidLabel(f"a tag's key {wrong}")
        if wrong := _unstorable(value, MAX_TAG_VALUE_LENGTH, {"Cs"}):
            raise InvalidLabel(f"the value of the tag {key!r} {wrong}; what is longer belongs into the input")
    return found


def _unstorable(text: str, longest: int, categories: set[str]) -> str:
    """Why no index of every database takes this, as the end of a sentence; "" if each does."""
    if len(text) > longest:
        return f"has at most {longest} characters, this one has {len(text)}"
    for char in text:
        if char == "\0" or unicodedata.category(char) in categories:
            return f"must not contain the character U+{ord(char):04X}"
    return ""


def _wrong(text: str, longest: int) -> str:
    """Why this cannot be a part of a URL, as the end of a sentence; "" if it can."""
    if len(text) > longest:
        return f"has at most {longest} characters, this one has {len(text)}"
    if text in _DOT_SEGMENTS:
        return f"must not be {text!r}: clients take that out of a URL"
    for char in text:
        if char in _FORBIDDEN or unicodedata.category(char) in {"Cc", "Cs"}:
            return f"must not contain / \\ # ? or control characters; {text!r} has {char!r}"
    return ""


def quoted(instance_id: str) -> str:
    """An ID as texts name it: between single quotes whatever is in it, with escapes for what cannot be printed.

    Example:
        >>> print(quoted("o'clock"))
        'o'clock'
    """
    return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in instance_id) + "'"


def child_instance_id(parent_id: str, execution_id: str, task_id: int) -> str:
    """The automatic ID of a sub-orchestration: the same on every replay, another one for every execution.

    Its parent's ID is in it as long as the whole may be an ID; else something shorter that stands for that one.

    Example:
        >>> child_instance_id("order", "c0ffee00" * 4, 10)
        'order:c0ffee00:000a'
    """
    suffix = f":{execution_id[:8]}:{task_id:04x}"
    if len(parent_id) + len(suffix) > MAX_INSTANCE_ID_LENGTH:
        parent_id = uuid.uuid5(_NAMESPACE, f"parent/{parent_id}").hex
    return parent_id + suffix


def onward_message_id(message_id: str, task_id: int) -> str:
    """The ID of a message that a sub-orchestration gets because its parent got `message_id`."""
    if len(message_id) > _MAX_MESSAGE_ID_LENGTH:
        message_id = uuid.uuid5(_NAMESPACE, f"message/{message_id}").hex
    return f"{message_id}/{task_id}"


def next_execution_id(execution_id: str) -> str:
    """The execution that follows `execution_id` by continue-as-new; derived, so that deciding stays pure."""
    return uuid.uuid5(_NAMESPACE, f"continue/{execution_id}").hex


def replayable_uuid(instance_id: str, execution_id: str, counter: int) -> uuid.UUID:
    """The `counter`-th UUID an execution asks for (version 5, as Durable Functions' ``new_guid``)."""
    return uuid.uuid5(_NAMESPACE, f"{instance_id}/{execution_id}/{counter}")
