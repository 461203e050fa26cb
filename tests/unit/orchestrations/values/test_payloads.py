"""Payloads: what goes in comes out, as JSON wherever JSON can say it, and nothing is changed in silence.

Contract held here: round trips under a hint; what is refused and with which sentence; the door for outside text. Not
here: real pickles of local classes (test_packing_journeys.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import pickle
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from durable_ray.orchestrations.values import payloads
from durable_ray.orchestrations.values.hints import Unfit, adapter
from durable_ray.orchestrations.values.payloads import (
    MAX_PAYLOAD_BYTES,
    MAX_PAYLOAD_DEPTH,
    PICKLED,
    PayloadError,
    PayloadNotJson,
    PayloadNotReadable,
    PayloadNotSerializable,
    PayloadTooLarge,
    PayloadTypeError,
    decode,
    encode,
    from_json_text,
    is_pickled,
)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Item(BaseModel):
    sku: str
    price: Decimal = Decimal("1.10")


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    items: list[Item]
    stamp: bytes = b"\xff\x00"
    color: Color = Color.BLUE
    by_number: dict[int, str] = dataclasses.field(default_factory=lambda: {1: "one"})
    inner: Order | None = None


class Address(TypedDict, total=False):
    city: str
    raw: bytes


class Point(NamedTuple):
    x: float
    y: float


class Opaque:
    """Nothing that JSON knows."""

    def __init__(self, value: int = 7) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


UNDEFINED: Any = list.__class_getitem__(ForwardRef("Missing"))
# The name and module by which a reference of Ray's is recognised.
ObjectRef = type("ObjectRef", (), {"__module__": "ray._raylet"})

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (None, type(None)),
    (True, bool),
    (3, int),
    (10**30, int),
    (1.5, float),
    (math.inf, float),
    ("Tōkyō \x00 \U0001f600", str),
    (b"\xff\x00", bytes),
    (b"\xff\x00", bytes | None),
    ((1, "x"), tuple[int, str]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    (Color.RED, Color),
    (Level.LOW, Level),
    (dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC), dt.datetime),
    (dt.date(2024, 5, 1), dt.date),
    (dt.timedelta(days=1, microseconds=1), dt.timedelta),
    (uuid.UUID(int=1), uuid.UUID),
    (Decimal("1.10"), Decimal),
    (Path("/a/b"), Path),
    (Item(sku="a"), Item),
    ([Item(sku="a")], list[Item]),
    (Order([Item(sku="a")], inner=Order([])), Order),
    ([Order([])], list[Order]),
    (Order([]), Order | None),
    (Order([]), Annotated[Order, Field(description="an order")]),
    ({"city": "Rome", "raw": b"\xfe"}, Address),
    (Point(1.0, 2.0), Point),
    ("b", Literal["a", "b"]),
    ({"red": 1}, dict[str, int]),
]


@pytest.mark.parametrize(("value", "hint"), ROUND_TRIPS, ids=lambda part: str(part)[:40])
def test_a_hint_brings_the_value_back(value: Any, hint: Any) -> None:
    payload = encode(value)
    assert not is_pickled(payload)
    back = decode(payload, hint)
    assert back == value
    assert type(back) is type(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_json_values_come_back_without_a_hint(value: Any) -> None:
    payload = encode(value, pickler=pickle.dumps)
    assert not is_pickled(payload)
    assert decode(payload) == value
    assert json.loads(payload) == value


@given(json_values, st.sampled_from([str, int, bool, float, dict, list, Any]))
def test_plain_hints_mean_what_pydantic_means(value: Any, hint: Any) -> None:
    payload = encode(value)
    try:
        wanted = adapter(hint).validate_json(payload)
    except Unfit:
        with pytest.raises(PayloadTypeError):
            decode(payload, hint)
    else:
        back = decode(payload, hint)
        assert (type(back), repr(back)) == (type(wanted), repr(wanted))


@given(st.dictionaries(st.integers() | st.booleans() | st.text() | st.none(), st.integers(), max_size=4))
def test_no_key_changes_its_type(value: dict[Any, int]) -> None:
    back = decode(encode(value, pickler=pickle.dumps), unpickler=pickle.loads)
    assert [(type(key), key) for key in back] == [(type(key), key) for key in value]


def test_nan_is_a_constant() -> None:
    assert encode(math.nan) == "NaN"
    assert math.isnan(decode("NaN", float))


def test_numbers_and_dates_may_stand_there_as_text() -> None:
    assert decode('"5"', int) == 5
    assert decode("5", float) == 5.0
    assert decode('"2024-05-01T12:00:00Z"', dt.datetime).tzinfo is not None


@pytest.mark.parametrize(
    ("value", "path", "remedy"),
    [
        (Opaque(), "$ ", "dataclass"),
        ({"a": [1, Opaque()]}, "$.a[1] ", "Opaque"),
        (Order([], inner=Opaque()), "$.inner ", "Opaque"),  # type: ignore[arg-type]
        ({"a": {1: 2}}, "$.a ", "use str keys"),
        (["x", "\ud800"], "$[1] ", "str has no JSON form"),
        ([int], "$[0] ", "type has no JSON form"),
    ],
)
def test_what_json_cannot_say_is_refused_with_place_and_remedy(value: Any, path: str, remedy: str) -> None:
    with pytest.raises(PayloadNotSerializable) as caught:
        encode(value)
    assert str(caught.value).startswith(path)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("value", [Opaque(3), {"a": [Opaque()]}, {1: "a"}, {(1, 2): 3}, "\ud800"])
def test_what_json_cannot_say_is_pickled_where_that_is_allowed(value: Any) -> None:
    payload = encode(value, pickler=pickle.dumps)
    assert is_pickled(payload)
    assert payload.isascii()
    assert decode(payload, unpickler=pickle.loads) == value
    # The hint builds values from JSON; a pickled one is already what it is.
    assert decode(payload, int, unpickler=pickle.loads) == value


def test_a_value_that_contains_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PayloadNotSerializable, match="contains itself"):
        encode(loop)
    back: Any = decode(encode(loop, pickler=pickle.dumps), unpickler=pickle.loads)
    assert back[0] is back


@pytest.mark.parametrize("value", [ObjectRef(), [ObjectRef()], {"a": (1, {"b": ObjectRef()})}, [Opaque(), ObjectRef()]])
def test_an_object_ref_is_refused_even_where_pickles_are_allowed(value: Any) -> None:
    with pytest.raises(PayloadNotSerializable, match="dies with its owner"):
        encode(value, pickler=pickle.dumps)


def test_what_cannot_be_pickled_either_says_why() -> None:
    with pytest.raises(PayloadNotSerializable, match=r"neither as JSON \(\$\[0\]: .*nor pickled"):
        encode([lambda: None], pickler=pickle.dumps)


def test_whatever_is_encoded_as_json_is_not_too_deep_to_decode() -> None:
    assert decode(encode(nested(MAX_PAYLOAD_DEPTH))) == nested(MAX_PAYLOAD_DEPTH)
    assert decode(encode({"a": nested(MAX_PAYLOAD_DEPTH - 1)}))
    with pytest.raises(PayloadNotSerializable):
        encode(nested(MAX_PAYLOAD_DEPTH + 1))
    with pytest.raises(PayloadNotSerializable):
        encode({"a": nested(MAX_PAYLOAD_DEPTH)})


def test_text_that_looks_like_a_pickle_stays_text() -> None:
    payload = encode(PICKLED + "gASVAAAA")
    assert not is_pickled(payload)
    assert decode(payload) == PICKLED + "gASVAAAA"


@pytest.mark.parametrize(
    ("payload", "hint", "sentence"),
    [
        ('"x"', int, r'"x" does not fit int: at \$: '),
        ('{"items":[{"price":1}]}', Order, r"does not fit Order: at \$\.items\[0\]\.sku: Field required"),
        ("[1]", list[str], r"does not fit list\[str\]: at \$\[0\]"),
        ("null", str, "does not fit str"),
        ("{", None, "not JSON"),
        ("{", int, "not JSON"),
        ("1", Opaque, "does not fit Opaque"),
        ("[1]", UNDEFINED, r"no value can be built from the type hint list\[ForwardRef"),
    ],
)
def test_what_does_not_fit_says_where_and_why(payload: str, hint: Any, sentence: str) -> None:
    with pytest.raises(PayloadTypeError, match=sentence):
        decode(payload, hint)


def test_unhashable_hints_work() -> None:
    hint = Annotated[int, {"not": "hashable"}]
    with pytest.raises(TypeError):
        hash(hint)
    assert decode("3", hint) == 3


def test_pickled_payloads_need_an_unpickler_and_undamaged_bytes() -> None:
    payload = encode(Opaque(), pickler=pickle.dumps)
    with pytest.raises(PayloadNotReadable, match="pickle"):
        decode(payload)
    with pytest.raises(PayloadNotReadable, match="damaged"):
        decode(PICKLED + "?", unpickler=pickle.loads)
    with pytest.raises(PayloadNotReadable, match="does not load here"):
        decode(PICKLED + "AAAA", unpickler=pickle.loads)


def test_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PayloadTooLarge, match="16,777,216"):
        encode("x" * MAX_PAYLOAD_BYTES)
    monkeypatch.setattr(payloads, "MAX_PAYLOAD_BYTES", 10)
    assert from_json_text('"éééé"') == '"éééé"'
    with pytest.raises(PayloadTooLarge, match="has 12"):
        from_json_text('"ééééé"')
    with pytest.raises(PayloadTooLarge):
        encode(Opaque(), pickler=lambda _: b"12345678901")


@pytest.mark.parametrize("text", ['{"a": 1.0}', "null", " [1] ", '"\\u0000"', b'{"a":[]}', "1e400"])
def test_the_door_lets_json_in_unchanged(text: str | bytes) -> None:
    expected = text.decode() if isinstance(text, bytes) else text
    assert from_json_text(text) == expected.strip()
    decode(from_json_text(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "{",
        "nul",
        "NaN",
        "[Infinity]",
        "{'a': 1}",
        '{"a":1,}',
        "1 2",
        b"\xff\xfe",
        '"\ud800"',
        "pickle:gASV",
        json.dumps(nested(MAX_PAYLOAD_DEPTH + 1)),
    ],
)
def test_the_door_keeps_everything_else_out(text: str | bytes) -> None:
    with pytest.raises(PayloadNotJson):
        from_json_text(text)


def test_errors_survive_their_process() -> None:
    for kind in (PayloadNotSerializable, PayloadNotReadable, PayloadTypeError, PayloadTooLarge, PayloadNotJson):
        back = pickle.loads(pickle.dumps(kind("a sentence")))
        assert type(back) is kind
        assert str(back) == "a sentence"
        assert isinstance(back, PayloadError)


@pytest.mark.parametrize("depth", [300, 100_000])
def test_a_value_of_any_depth_is_refused_at_once(depth: int) -> None:
    value: list[object] = []
    for _ in range(depth):
        value = [value, {1: 2}]
    began = time.process_time()
    with pytest.raises(PayloadNotSerializable, match="deeper than 200"):
        encode(value)
    assert time.process_time() - began < 5  # it took minutes
