"""The Prefect that a run uses, from the user's PREFECT_ variables. All settings are in the environment before
Prefect is imported.

PREFECT_API_URL names a server of the user's, with PREFECT_API_KEY or PREFECT_API_AUTH_STRING: it must answer.
PREFECT_PROFILE names a profile, whose settings count where no variable overrides them. Without either, a
server is started for the run. Its database is in PREFECT_HOME, by default below the project, or where
PREFECT_SERVER_DATABASE_CONNECTION_URL says.
"""

from __future__ import annotations

import base64
import os
import tomllib
from pathlib import Path

from flows.running import proxies
from flows.workspace import STATE
from pipelines.quiet import quiet

PROFILES = "~/.prefect/profiles.toml"


class ServerFailed(RuntimeError):
    """Prefect's server did not start, or the configured one cannot be used."""


def environment(root: Path) -> None:
    """Set the environment of every Prefect process of the project. What the user has set stays. Raises
    ServerFailed for an unknown profile.
    """
    quiet()
    for name, value in _profile().items():
        os.environ.setdefault(name, value)
    proxies.set_aside_unusable()
    os.environ.setdefault("PREFECT_HOME", str(root / STATE / "prefect"))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    # people watch our own display; the pages get every line
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    # Its SQLite answers 503 to a transaction that another one overtook, and to many in a row on a busy disk:
    # patience costs nothing here.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "10")
    if "PREFECT_SERVER_API_AUTH_STRING" in os.environ:  # a server of our own asks for it, so we say it
        os.environ.setdefault("PREFECT_API_AUTH_STRING", os.environ["PREFECT_SERVER_API_AUTH_STRING"])


def _profile() -> dict[str, str]:
    """Returns the settings of the profile that PREFECT_PROFILE names. Prefect itself would look below
    PREFECT_HOME, which is the project's.
    """
    name = os.environ.get("PREFECT_PROFILE")
    if not name:
        return {}
    home = os.environ.get("PREFECT_HOME")
    location = os.environ.get("PREFECT_PROFILES_PATH") or (f"{home}/profiles.toml" if home else PROFILES)
    path = Path(location).expanduser()
    try:
        profiles = tomllib.loads(path.read_text("utf-8")).get("profiles", {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ServerFailed(f"PREFECT_PROFILE={name}: {path} cannot be read ({error}); unset PREFECT_PROFILE, "
                    f"or name its file in "
                           "PREFECT_PROFILES_PATH") from None  # fmt: skip
    if name not in profiles:
        raise ServerFailed(f"PREFECT_PROFILE={name}: {path} holds no such profile, only "
                    f"{', '.join(profiles) or 'none'}; "
                           "unset PREFECT_PROFILE, or name one of them")  # fmt: skip
    os.environ.setdefault("PREFECT_PROFILES_PATH", str(path))
    return {key: str(value) for key, value in profiles[name].items() if key.startswith("PREFECT_")}


def authorisation() -> dict[str, str]:
    """Returns the HTTP header with the user's key or login; its value is a secret."""
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if login := os.environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
    return {}
