"""`whetstone use` and `params`: recipes, and what the keys of params.yaml mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.command_line import error_message, fail, out, project, tried_rewards
from flows.commands.options import AsJson

if TYPE_CHECKING:
    from flows.graph.recipes import Used

CHANGES_SHOWN = 12  # of what `use` changes: more would fill the first screen


def use(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help=(
                "A file name of recipes/ without .yaml, several with + between, or `default`; none: list "
                "them."
            )
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Carry the settings of your own over.")] = False,
    own: Annotated[
        Path | None,
        typer.Option("--own", help="Lay the settings over it that an earlier `use` kept in this file."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the params.yaml that would result; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Set params.yaml to a recipe; settings of your own are kept aside in a file, or carried over with
    --keep.

    Example: [bold]whetstone use gsm8k_small[/], later [bold]whetstone use default[/]
    """
    own = own.absolute() if own else None
    root = project(as_json)
    from flows.graph import recipes
    from flows.graph.params_file import ParamsError
    from flows.workspace import Busy, only_one_run

    try:
        if recipe is None or show:
            _show_recipes(root, recipe, as_json)
            return
        before = recipes.active(root)
        with only_one_run(root):  # a run that works with params.yaml would find it another
            used = recipes.use(root, recipe, keep, own)
    except ParamsError as error:
        fail(str(error), 2, as_json)
    except (Busy, OSError) as error:
        fail(error_message(error), 1, as_json)
    back = f"whetstone use {before} --own {used.aside}" if used.aside else None
    from flows import reward_trial
    from flows.graph.params import load

    rewards = tried_rewards(root, load(root), as_json, refuse=False) if reward_trial.mentioned(root) else []
    if as_json:
        tried = {"rewards": rewards} if rewards else {}
        print(json.dumps({"recipe": recipe, **tried, **used.as_json(), "bring_back": back}, indent=1))
    else:
        _print_used(recipe, used, back)


def _print_used(recipe: str, used: Used, back: str | None) -> None:
    """Print what `use` did; `back`: the command that brings the own settings back."""
    for line in used.changed[:CHANGES_SHOWN]:
        out.print(f"  {line}", markup=False)
    if len(used.changed) > CHANGES_SHOWN:
        out.print(f"  … and {len(used.changed) - CHANGES_SHOWN} more (--json has all)", markup=False)
    out.print(
        f"params.yaml now holds {recipe}: {len(used.changed)} values changed. `whetstone plan` shows what "
        f"that means.",
        markup=False,
    )
    if used.supplied:
        brought = (f"{key} (named by {setting})" for key, setting in used.supplied.items())
        out.print(f"taken from the default, for no recipe says them: {', '.join(brought)}", markup=False)
    if used.shared:
        out.print(f"and what they share there: {', '.join(used.shared)}", markup=False)
    if back:
        out.print(
            f"settings of your own ({len(used.own)}) are kept in {used.aside}; they come back with: {back}",
            style="yellow",
            markup=False,
        )


def _show_recipes(root: Path, recipe: str | None, as_json: bool) -> None:
    """Print the recipes with a line each, or the params.yaml of one."""
    from flows.graph import recipes

    if recipe is not None:
        print(recipes.show(root, recipe), end="")
        return
    lines, active = recipes.about(root), recipes.active(root)
    if as_json:
        print(json.dumps({"active": active, "recipes": lines}, indent=1))
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        out.print(f"{'*' if name == active else ' '} {name:<{width}}  {line}", markup=False)


def params(
    key: Annotated[
        str | None,
        typer.Argument(
            help="As in params.yaml: `rl.methods.ppo.credit`; NAME or * for any name. Without: all sections."
        ),
    ] = None,
    find: Annotated[
        str | None, typer.Option("--find", metavar="WORD", help="Search in names and meanings.")
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Make docs/parameters.md and the schemas again, after a change of code or dvc.yaml.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a key of params.yaml means: type, range, default, its value now and where that comes from,
    unit, source.

    Example: [bold]whetstone params rl.common.objective[/], [bold]whetstone params --find clip[/]
    """
    root = project(as_json)
    from flows import params_command, params_page

    if write:
        changed = params_page.write(root)
        print(json.dumps({"written": changed})) if as_json else out.print(
            f"written: {', '.join(changed) or 'nothing, all is up to date'}"
        )
        return
    params_command.show(root, key, find, as_json)
