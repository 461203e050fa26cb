"""The JSON start object: what others than Python write to have an orchestration started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class StartObjectInvalid(ValueError):
    """Not a start object; the message names the wrong field. Nothing was started."""


class StartObject(BaseModel):
    """`{"FunctionName": "hello", "Input": "Tokyo", "InstanceId": "h-1"}`; the last two may be left out.

    Example:
        >>> StartObject.model_validate({"FunctionName": "hello", "Input": 1}).function_name
        'hello'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    function_name: str = Field(alias="FunctionName", min_length=1)
    input: Any = Field(default=None, alias="Input")
    instance_id: str | None = Field(default=None, alias="InstanceId")


def read_start_objects(start: StartObject | Mapping[str, Any] | str | bytes | Sequence[Any]) -> list[StartObject]:
    """The start objects in `start`; see `Client.start_from`.

    Raises:
        StartObjectInvalid: a field is missing, unknown or of the wrong type, or the text is no JSON.

    Example:
        >>> [o.instance_id for o in read_start_objects('[{"FunctionName": "a", "InstanceId": "x"}]')]
        ['x']
    """
    given: Any = start
    if isinstance(given, str | bytes):
        if not given.strip():
            return []
        try:
            given = json.loads(given)
        except ValueError as error:
            raise StartObjectInvalid(f"a start object is JSON; this text is not: {error}") from None
    each = given if isinstance(given, Sequence) and not isinstance(given, str | bytes) else [given]
    return [one if isinstance(one, StartObject) else _read(one) for one in each]


def _read(one: Any) -> StartObject:
    try:
        return StartObject.model_validate(one)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'object'}: {e['msg']}" for e in error.errors())
        raise StartObjectInvalid(
            f"a start object has the fields FunctionName, Input and InstanceId, no others: {wrong}"
        ) from None
