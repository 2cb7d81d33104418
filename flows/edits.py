"""Edits of params.yaml as `-S key=value` gives them: the text that results, checked as a whole, and writing
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def edited(root: Path, settings: Sequence[str], targets: Sequence[str]) -> tuple[str, list[str]] | None:
    """Returns the text of params.yaml after the edits, and a list of the keys that were added although nobody
    wrote them; None when nothing changes.

    The text has been checked as a whole. Nothing is written. Raises ParamsError.
    """
    from flows.graph import fill, requested, seeds
    from flows.graph.params import check
    from flows.graph.params_file import (
        PARAMS,
        ParamsError,
        load_with_comments,
        parse,
        read_yaml,
        set_value,
        text_of,
    )
    from flows.graph.presets import with_presets

    raw = with_presets(read_yaml(root / PARAMS), root)
    lacking = requested.missing(raw, targets, root) or fill.missing(raw, root)
    if not settings and not lacking and not seeds.named(raw, root):
        return None
    document = load_with_comments(root / PARAMS)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ParamsError([f"-S {setting}: KEY=VALUE is expected, for example -S sft.common.steps=500"])
        set_value(document, key, value)
    supplied = seeds.expand(document, root)
    supplied += [f"{key}: {fill.NONE}" for key in fill.fill(document, root)]
    additions = requested.missing(with_presets(parse(text_of(document)), root), targets, root)
    requested.add(document, additions, root)
    fill.fill(document, root)
    text = text_of(document)
    check(parse(text))
    added = [f"{name} to {'.'.join(section)}" for *section, name in additions]
    return text, [*added, *supplied]


def write(root: Path, text: str, targets: Sequence[str]) -> None:
    """Write params.yaml, once `targets` are known to be stages of it. Raises ParamsError, UnknownStage,
    Busy, and DVC's errors.
    """
    from flows.graph import plan, recipes
    from flows.graph.params_file import PARAMS, write_text
    from flows.workspace import only_one_run

    with only_one_run(root):
        plan.check_wanted(root, targets, text)
        recipes.remember(root)
        write_text(root / PARAMS, text)
