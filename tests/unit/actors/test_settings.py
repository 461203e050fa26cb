"""Settings of a hub: what is wrong is refused with its name, and a hub's row gives back what was put in."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.hub_config import HubConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"partitions": 0},
        {"max_dedicated": 0},
        {"idle_timeout": -1},
        {"linger": -1},
        {"default_placement": "anywhere"},
        {"sweep_interval": 0},
        {"max_recoveries": 0},
        {"patritions": 3},
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        HubSettings(**wrong)  # type: ignore[arg-type]


def test_they_survive_the_store() -> None:
    settings = HubSettings(partitions=3, idle_timeout=None, max_dedicated=7, max_running={"a": 1})
    assert HubConfig.from_json(settings.settled().to_json()) == settings.settled()
    assert HubSettings.model_validate_json(settings.settled().to_json()) == settings


def test_processes_read_what_was_set() -> None:
    settings = HubSettings(partitions=3, linger=1.5, max_running_activities={"a": 1})
    assert settings.settled()._asdict() == settings.model_dump()


def test_the_limit_of_processes_is_what_was_set_or_within_reason() -> None:
    assert HubSettings(max_dedicated=7).dedicated_limit() == 7
    assert 4 <= HubSettings().dedicated_limit() <= 200


def test_they_cannot_change_under_a_running_hub() -> None:
    with pytest.raises(ValidationError):
        HubSettings().partitions = 9  # type: ignore[misc]
