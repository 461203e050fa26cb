"""A store's URL is understood alike by everybody, or refused with how it should be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.urls import for_a_hub, sqlite_path


@pytest.mark.parametrize("url", ["sqlite:store.db", "sqlite:/store.db", "sqlite://store.db", "sqlite:"])
def test_a_url_with_too_few_slashes_is_no_store_in_memory(url: str) -> None:
    for take in (open_store, for_a_hub, sqlite_path):
        with pytest.raises(StoreUnusable, match="sqlite:///relative/path"):
            take(url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_hub_has_no_store_in_the_memory_of_one_process(url: str) -> None:
    assert sqlite_path(url) is None
    with pytest.raises(StoreUnusable, match="TestHub"):
        for_a_hub(url)


@pytest.mark.parametrize("path", ["a b/hub.db", "50%/hub.db", "why?/hub.db", "~/hub.db", "caf\u00e9.db"])
def test_a_hubs_url_names_the_same_file_from_everywhere(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    said = f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"
    everywhere = for_a_hub(said)
    monkeypatch.chdir("/")
    assert sqlite_path(everywhere) == tmp_path / path.replace("~", "home")
    assert for_a_hub(everywhere) == everywhere


def test_an_unknown_home_is_said_so() -> None:
    with pytest.raises(StoreUnusable, match="absolute"):
        sqlite_path("sqlite:///~nobody-has-this-name/hub.db")


def test_any_other_database_is_left_to_its_driver() -> None:
    assert (
        for_a_hub("postgresql://me@db.example/hub?sslmode=require") == "postgresql://me@db.example/hub?sslmode=require"
    )
