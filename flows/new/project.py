"""`whetstone new`: look at a model and data, say what was understood, write a recipe that runs as it is."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.text import Text

from flows.graph import recipes
from flows.graph.families import at
from flows.graph.params import check
from flows.graph.params_file import ParamsError, parse, write_text
from flows.graph.presets import presets
from flows.new.budget import within
from flows.new.data import NewError, Part, parts_of
from flows.new.look import look
from flows.new.model import GivenModel, look_at
from flows.new.recipe import sections
from flows.new.recipe_text import text_of
from flows.new.set_look import SetLook
from flows.new.wish import Wish, check_name, check_reward, stages_of
from flows.show import print_shown
from pipelines.corpora.records.rows_kept import rows_sentence


@dataclass(frozen=True)
class Made:
    """The recipe that was written, and what it was made from."""

    path: Path
    text: str
    stages: Sequence[str]
    parts: Sequence[Part]
    model: GivenModel
    looks: Sequence[SetLook]
    sized: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "recipe": str(self.path),
            "text": self.text,
            "stages": list(self.stages),
            "model": {
                "pretrained": self.model.name,
                "context": self.model.context,
                "chat_template": self.model.template and bool(self.model.template.get("chat")),
                "not_at_hand": self.model.missing or None,
            },
            "data": [
                {
                    "data": part.shown,
                    "role": part.role,
                    "layout": part.layout.name,
                    "columns_not_read": list(part.layout.ignored),
                }
                for part in self.parts
            ],
            "sets": [seen.as_json() for seen in self.looks],
            "sized": self.sized or None,
        }


def new(
    root: Path,
    name: str,
    model: str,
    data: list[str],
    cwd: Path,
    reward: str = "",
    methods: Sequence[str] = (),
    minutes: float | None = None,
) -> Made:
    """Write recipes/<name>.yaml and return it. Run in the project's folder; paths are relative to `cwd`.
    `minutes`: choose sizes with which it ends within so many on this machine. Raises NewError, UnknownLayout
    or ParamsError; nothing is written then.
    """
    path, reward = check_name(root, name), _reward_path(root, check_reward(reward), cwd)
    parts = parts_of(root, data, cwd)
    with TemporaryDirectory(prefix="whetstone-new-") as temporary:
        folder = Path(temporary)
        given = look_at(root, model, cwd, folder / "tokenizer")
        wish = Wish(name, given, parts, reward, methods, list(at(presets(root), ("rl", "presets")) or ()))
        stages = stages_of(wish)
        fitted, looks = look(wish, stages, folder)
    files = ", ".join(part.shown for part in parts)
    command = "whetstone new" + (f" --minutes {minutes:g}" if minutes is not None else "")
    comment = f"{', then '.join(stages)} of {given.name} on {files}; `{command}` wrote this."
    value, sized = sections(wish, stages, fitted), ""
    text = text_of(name, comment, value)
    _write_checked(root, path, text)
    if minutes is not None:
        try:
            params = check(parse(recipes.show(root, name)), root=root)
            sized = within(root, minutes, value, params, looks)
        finally:
            path.unlink()
        text = text_of(name, comment, value)
        _write_checked(root, path, text)
    return Made(path.relative_to(root), text, stages, parts, given, looks, sized)


def _reward_path(root: Path, reward: str, cwd: Path) -> str:
    """Returns FILE.py:FUNCTION with the file relative to the project."""
    file, colon, function = reward.rpartition(":")
    if not colon or not file.endswith(".py"):
        return reward
    path = (cwd / file).resolve()
    if not path.is_file():
        raise NewError(f"--reward {reward}: there is no file {path}")
    if not path.is_relative_to(root.resolve()):
        raise NewError(
            f"--reward {reward}: {path} lies outside of the project, whose results must not depend on files "
            f"that it does not hold: cp {shlex.quote(str(path))} {shlex.quote(str(root))}/"
        )
    return f"{path.relative_to(root.resolve())}:{function}"


def _write_checked(root: Path, path: Path, text: str) -> None:
    """Write the recipe, unless params.yaml would not be right with it, or it came to be there meanwhile."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        check_name(root, path.stem)
    write_text(path, text)
    try:
        recipes.show(root, path.stem)
    except BaseException as error:
        path.unlink()
        if isinstance(error, ParamsError):
            raise ParamsError([*error.problems, f"so this recipe was not written:\n{text}"]) from error
        raise


def print_made(console: Console, made: Made) -> None:
    """Print what was understood, three rows of each set, and the recipe."""

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style=style))

    for part in made.parts:
        unread = f"; not read: {', '.join(part.layout.ignored)}" if part.layout.ignored else ""
        say(f"{part.shown}: {part.layout.name}, for {part.role}{unread}")
    model = made.model
    if model.missing:
        say(f"{model.name} is not at hand, so lengths are in characters: {model.missing}", "yellow")
    else:
        say(f"{model.name}: {model.template_shown}; context {model.context or 'not stated'}")
    for seen in made.looks:
        _print_set(console, seen)
    say(f"\n{made.path}:")
    say(made.text.rstrip("\n"))
    if made.sized:
        say(made.sized)
    say(f"\nnext: whetstone use {made.path.stem} && whetstone run --dry-run && whetstone run")


def _print_set(console: Console, seen: SetLook) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style=style))

    say(f"\n{seen.name}: {rows_sentence(seen.rows)}{' (of the first rows alone)' if seen.cut else ''}")
    for line in seen.bad:
        say(f"  bad: {line}", "yellow")
    say("  rows by file: " + ", ".join(f"{file} {number}" for file, number in seen.files.items()))
    for name, lengths in seen.lengths.items():
        say(f"  {name}: median {lengths.median}, longest {lengths.longest} {seen.unit}")
    for reason, number in seen.left_out.items():
        say(f"  the model leaves out {number} for: {reason}", "yellow")
    for shown in seen.examples:
        console.print()
        print_shown(console, shown)
