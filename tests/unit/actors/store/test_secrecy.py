"""What is secret in a URL is shown nowhere: not where it is listed, and not by the error of one that cannot be used."""

from __future__ import annotations

import traceback

import pytest

from durable_ray.actors.cluster.ray_hub import HubInfo
from durable_ray.actors.messages import Hello
from durable_ray.actors.settings import HubSettings
from durable_ray.actors.store.contract import StoreUnusable
from durable_ray.actors.store.opening import open_store
from durable_ray.actors.store.urls import for_a_hub, shown_url
from durable_ray.cli.hub.over_http import open_http_hub
from durable_ray.config import ClientSettings

CANARY = "c4n4ry"

SHOWN = {
    "postgresql://me:c4n4ry@db.example:5432/hub": "postgresql://me:***@db.example:5432/hub",
    "postgresql://:c4n4ry@db.example/hub": "postgresql://:***@db.example/hub",
    "postgresql://me:c4n4ry@a:1,b:2/hub?sslmode=require": "postgresql://me:***@a:1,b:2/hub?sslmode=require",
    "postgresql://me@db.example/hub?password=c4n4ry": "postgresql://me@db.example/hub?password=***",
    "postgresql:///hub?user=me&PASSWORD=c4n4ry&sslmode=require": "postgresql:///hub?user=me&PASSWORD=***",
    "postgresql://db.example/hub?sslpassword=c4n4ry": "postgresql://db.example/hub?sslpassword=***",
    "postgresql://db.example/hub?password=a&c4n4ry": "postgresql://db.example/hub?password=***",
    "postgresql://me:c4n@4ry@db.example/hub": "postgresql://me:***@db.example/hub",
    "postgresql://me:c4n/4ry@db.example/hub": "postgresql://me:***@db.example/hub",
    "postgresql://me:c4n?4ry@db.example/hub": "postgresql://me:***@db.example/hub",
    "postgresql://me:c4n#4ry\n@db.example/hub": "postgresql://me:***@db.example/hub",
    "postgresql:me:c4n4ry@db.example/hub": "***@db.example/hub",
    "me:c4n4ry@db.example/hub": "***@db.example/hub",
    "host=db.example user=me password=c4n4ry": "host=db.example user=me password=***",
    "http://:c4n4ry@127.0.0.1:7071/durabletask/": "http://:***@127.0.0.1:7071/durabletask/",
    "http://127.0.0.1:7071/x?taskHub=h&code=c4n4ry": "http://127.0.0.1:7071/x?taskHub=h&code=***",
    "postgresql://me@db.example:5432/hub?application_name=a@b": "postgresql://me@db.example:5432/hub?application_name=a@b",
    "postgresql://db.example/hub?passfile=/home/me/.pgpass": "postgresql://db.example/hub?passfile=/home/me/.pgpass",
    "sqlite:////home/me/a:b@c/hub.db": "sqlite:////home/me/a:b@c/hub.db",
}


@pytest.mark.parametrize("url", SHOWN)
def test_a_url_is_shown_without_what_is_secret(url: str) -> None:
    assert shown_url(url) == SHOWN[url]


#: None of them can be used; each has a password that a driver's own words, or ours, might repeat.
UNUSABLE = [
    "postgresql://me:c4n4ry@127.0.0.1:1/hub",
    "postgresql://me@127.0.0.1:1/hub?password=c4n4ry",
    "postgresql://me:c@c4n4ry@127.0.0.1:1/hub",
    "postgresql://me:1/c4n4ry@127.0.0.1:1/hub",
    "postgresql://me:c/c4n4ry@127.0.0.1:1/hub",
    "postgresql://me:c4n4ry/c@127.0.0.1:1/hub",
    "postgresql://me:%c4n4ry@127.0.0.1:1/hub",
    "postgresql://me:a c4n4ry@127.0.0.1:1/hub",
    "postgresql://me:c4n4ry@[127.0.0.1:1/hub",
    "postgresql://me@127.0.0.1:1/hub?password=a=c4n4ry",
    "postgresql://me@127.0.0.1:1/hub?password=%zzc4n4ry",
    "postgresql://me:c4n4ry@127.0.0.1:1/hub?no_such_setting=1",
    "postgresql:me:c4n4ry@127.0.0.1/hub",
    "postgresql+psycopg://me:c@c4n4ry@127.0.0.1:1/hub",
    "mysql://me:c4n4ry@127.0.0.1:1/hub",
    "mysql:me:c4n4ry@127.0.0.1/hub",
    "host=127.0.0.1 port=1 password=c4n4ry",
    "sqlite://me:c4n4ry@host/hub.db",
    "sqlite:hub.db?key=c4n4ry",
]


@pytest.mark.parametrize("url", UNUSABLE)
def test_the_error_of_a_store_that_cannot_be_used_says_no_password(url: str) -> None:
    with pytest.raises(StoreUnusable) as refused:
        open_store(for_a_hub(url))
    assert CANARY not in "".join(traceback.format_exception(refused.value))


def test_what_carries_a_url_shows_it_without_its_password() -> None:
    url = "postgresql://me:c4n4ry@db.example/hub"
    for carrier in (
        HubInfo("hub", url, HubSettings().settled()),
        Hello("registry", "hub", 1, 1, 1, url),
        ClientSettings(store=url),
    ):
        assert CANARY not in repr(carrier)


@pytest.mark.parametrize("setting", ["store", "key"])
def test_a_setting_of_the_wrong_type_is_not_shown(setting: str) -> None:
    with pytest.raises(ValueError, match=setting) as refused:
        ClientSettings(**{setting: [CANARY]})  # type: ignore[arg-type]
    assert CANARY not in str(refused.value)


def test_the_command_line_shows_no_password_of_a_gateways_url() -> None:
    with pytest.raises(Exception, match="no address of a gateway") as refused:
        open_http_hub(ClientSettings(url="ftp://me:c4n4ry@127.0.0.1/"))
    assert CANARY not in str(refused.value)
    hub = open_http_hub(ClientSettings(url="http://me:c4n4ry@127.0.0.1:1/"))
    with pytest.raises(Exception, match="no gateway answers") as away:
        hub.counts()
    assert CANARY not in "".join(traceback.format_exception(away.value))
