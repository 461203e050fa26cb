"""Where settings come from: arguments, then the environment, then defaults."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """What a client needs to know, from `DURABLE_RAY_*` where it was not told."""

    model_config = SettingsConfigDict(env_prefix="DURABLE_RAY_", extra="ignore")

    address: str | None = None
    hub: str = Field(default="durable_ray", min_length=1, max_length=100, pattern=r"^[\w.-]+$")
    store: str | None = None
    key: str | None = Field(default=None, repr=False)
