"""The roles that the sources of a corpus name, and what is missing for the files that later stages read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.corpora.corpus_params import CorpusParams

ROLE_HINTS = {  # file -> how to give it rows
    "rl": "name a file or split of the role rl or train",
    "heldout": (
        "name one of the role heldout, or set heldout_share above 0 where rows of the role train are split"
    ),
    "validation": (
        "name one of the role validation, "
        "or set validation_share above 0 where rows of the role train are split"
    ),
    "sft": "name one of the role sft or train whose rows have a demonstration (columns.solution)",
}
ALL_ROLES = frozenset(["train", "sft", "rl", "validation", "heldout"])


def roles_of(source: Mapping[str, Any]) -> frozenset[str]:
    """Returns the roles that the parameters of one source name; a source that generates its rows has every
    role.
    """
    mapping = next((source[key] for key in ("numbers", "files", "splits") if source.get(key)), None)
    return ALL_ROLES if not isinstance(mapping, Mapping) else frozenset(mapping)


def possible_files(
    sources: Mapping[str, Mapping[str, Any]], validation_share: float, heldout_share: float
) -> frozenset[str]:
    """Returns the files that rows can be written to."""
    roles = frozenset[str]().union(*(roles_of(source) for source in sources.values()))
    files = set(roles & {"validation", "heldout"})
    if roles & {"rl", "train"}:
        files.add("rl")
    if roles & {"sft", "train"}:
        files.add("sft")
    if "train" in roles:
        files |= {
            file
            for file, share in (("validation", validation_share), ("heldout", heldout_share))
            if share > 0
        }
    return frozenset(files)


def unused_shares(params: CorpusParams) -> list[str]:
    """Returns messages on shares that put nothing aside, since only rows of the role train are split."""
    roles = frozenset[str]().union(*(roles_of(source.model_dump()) for source in params.sources.values()))
    return [
        f"{share} {getattr(params, share):g} does nothing: it splits rows of the role train, and the roles "
        f"named are "
        f"{', '.join(sorted(roles))}; {ROLE_HINTS[file]}"
        for file, share in (("validation", "validation_share"), ("heldout", "heldout_share"))
        if getattr(params, share) > 0 and "train" not in roles and file not in roles
    ]


def missing_role_message(file: str, roles: frozenset[str]) -> str:
    """Returns the message where no row can be written to `file`."""
    role_list = ", ".join(sorted(roles)) or "none"
    return f"no source has rows for {file}: the roles named are {role_list}; {ROLE_HINTS[file]}"
