"""Proxies that Prefect's HTTP client cannot use: httpx refuses to make a client for a proxy scheme that it
does not know.
"""

from __future__ import annotations

import importlib.util
import os

_set_aside: dict[str, str] = {}


def set_aside_unusable() -> None:
    """Remove the proxy variables with such a scheme (socks5 without the package socksio, socks, …) from this
    process's environment. Stages get them back.
    """
    usable = (
        "http://",
        "https://",
        *(("socks5://", "socks5h://") if importlib.util.find_spec("socksio") else ()),
    )
    for name in [name for name in os.environ if name.lower() in ("all_proxy", "http_proxy", "https_proxy")]:
        value = os.environ[name].strip().lower()
        if "://" in value and not value.startswith(usable):
            _set_aside[name] = os.environ.pop(name)


def set_aside_variables() -> dict[str, str]:
    """Returns the variables that were removed."""
    return dict(_set_aside)
