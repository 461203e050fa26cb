"""Where settings come from: arguments, then the environment, then a file of the user's, then defaults.

One class for the library and the command line, so that both mean the same hub by default.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)


def config_file() -> Path:
    """The user's settings file, be it there or not: `$DURABLE_RAY_CONFIG`, else `~/.config/durable_ray/config.toml`.

    Never one in the working directory: its author could send a key from the environment to a host of theirs.
    """
    named = os.environ.get("DURABLE_RAY_CONFIG")
    if named:
        return Path(named).expanduser()
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "durable_ray" / "config.toml"


class _ConfigFile(TomlConfigSettingsSource):
    """Top-level keys of the settings file; its tables are for others.

    A misspelt key is an error: it would be a setting that silently is not made.
    """

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        try:
            super().__init__(settings_cls, toml_file=path)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path}: {error}") from error
        given = {key for key, value in self.toml_data.items() if not isinstance(value, dict)}
        unknown = sorted(given - settings_cls.model_fields.keys())
        if unknown:
            known = ", ".join(sorted(settings_cls.model_fields))
            raise SettingsError(f"{path} sets {', '.join(unknown)}, which is no setting; there are {known}")


class ClientSettings(BaseSettings):
    """Settings of a client: arguments, else `DURABLE_RAY_*`, else the settings file.

    Attributes:
        address: of the Ray cluster; None: the one running on this machine.
        hub: name of the task hub.
        store: `sqlite:///path` or `postgresql://…`; None: a file in the user's state directory.
        url: of an HTTP gateway, used by the command line instead of Ray.
        key: of that gateway.

    Example:
        >>> ClientSettings(hub="tests").hub
        'tests'
    """

    # What was given is not shown in errors: it may be a key, or a store's password.
    model_config = SettingsConfigDict(
        env_prefix="DURABLE_RAY_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    address: str | None = None
    hub: str = Field(default="durable_ray", min_length=1, max_length=100, pattern=r"^[\w.-]+$")
    store: str | None = Field(default=None, repr=False)
    url: str | None = None
    key: str | None = Field(default=None, repr=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments before environment before file."""
        return init_settings, env_settings, _ConfigFile(settings_cls, config_file())
