"""Options that are one of a few words."""

from __future__ import annotations

import enum


class IfExistsOption(enum.StrEnum):
    """What to do about an ID that is taken."""

    REJECT = "reject"
    USE_EXISTING = "use_existing"
    TERMINATE_EXISTING = "terminate_existing"
    REJECT_FINISHED = "reject_finished"


class PlacementOption(enum.StrEnum):
    """Where an instance lives."""

    DEDICATED = "dedicated"
    SHARED = "shared"


class OverlapOption(enum.StrEnum):
    """If a run is due while one is under way."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    TERMINATE = "terminate"
    ALLOW_ALL = "allow_all"


class CatchUpOption(enum.StrEnum):
    """Which missed times are run."""

    ALL = "all"
    LATEST = "latest"
    NONE = "none"
