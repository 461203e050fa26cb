"""The shape of a query over instances: all that its statement depends on."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

#: A way that has to sort what it finds is taken if it finds at most so many.
FEW = 2000


class AccessPath(Enum):
    """Along which index instances are read."""

    CREATED = auto()
    STATUS = auto()
    NAME = auto()
    PARENT = auto()
    TAG = auto()
    #: These two do not run in the order of pages: what they find is sorted.
    ID = auto()
    UPDATED = auto()


class QueryShape(NamedTuple):
    """What a statement depends on: which parts a query has, not what they say."""

    path: AccessPath
    branches: int
    filters: frozenset[str]
    tags: int
    descending: bool
    continued: bool
    counting: bool
