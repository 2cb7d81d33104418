"""How the runs of one name that differ in their seed are called: NAME_s0, NAME_s1, …"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MEMBER = re.compile(r"(?P<group>.+)_s(?P<seed>\d+)")


def member_name(group: str, seed: int) -> str:
    """Returns the name of a run's member with this seed."""
    return f"{group}_s{seed}"


def members_of(group: str, names: Iterable[str]) -> list[str]:
    """Returns the names that are members of a group."""
    return [name for name in names if (match := _MEMBER.fullmatch(name)) and match["group"] == group]


def seed_groups(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Returns {group: {seed: name}} of the names that are members, those of two or more."""
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        if match := _MEMBER.fullmatch(name):
            groups.setdefault(match["group"], {})[match["seed"]] = name
    return {group: members for group, members in groups.items() if len(members) > 1}
