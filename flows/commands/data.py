"""`whetstone fetch`: the public data sets that recipes read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.command_line import error_message, fail, out, project
from flows.commands.options import AsJson


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME…]", help="Sets of public.yaml; a list of them without."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the public data sets that recipes read, or bring some: from a mirror, else from their publishers.

    A named set is fetched whatever execution.offline says. Every file is checked against its digest in
    public.yaml.

    Example: [bold]whetstone fetch gsm8k[/]
    """
    root = project(as_json)
    from flows.graph.params_file import PARAMS, ParamsError, read_yaml
    from flows.public import catalogue
    from flows.public.wanted import want_of

    try:
        sets, raw = catalogue.read(root), read_yaml(root / PARAMS)
        if problems := [catalogue.unknown(name, sets) for name in names or [] if name not in sets]:
            raise ParamsError(problems)
    except ParamsError as error:
        fail(str(error), 2, as_json)
    wanted = [want_of(root, name, sets[name], raw, offline=False) for name in names or sets]
    faults = _bring(root, wanted, as_json) if names else []
    rows = [_row(want) for want in wanted]
    if as_json:
        print(json.dumps({"ok": not faults, "error": faults, "sets": rows}, indent=1))
    elif not names:
        _print(rows)
    if faults:
        if not as_json:
            fail("\n".join(faults), 1)
        raise typer.Exit(1)


def _bring(root: Path, wanted: list[Any], as_json: bool) -> list[str]:
    """Bring the sets. Returns what was wrong with those that cannot be had; the others are here."""
    from flows.public.bring import PublicDataError, bring
    from flows.workspace import Busy, only_one_run

    faults: list[str] = []
    try:
        with only_one_run(root):
            for want in wanted:
                try:
                    origin = bring(want)
                except PublicDataError as error:
                    faults.append(str(error))
                    continue
                if not as_json:
                    out.print(
                        f"public/{want.name}: {'is here' if origin == 'here' else f'from {origin}'}",
                        markup=False,
                    )
    except (Busy, OSError) as error:
        fail(error_message(error), 1, as_json)
    return faults


def _row(want: Any) -> dict[str, Any]:
    """Returns what a program would want to know of a set."""
    from flows.public import catalogue

    entry = want.entry
    return {
        "name": want.name,
        "title": entry.title,
        "licence": entry.licence,
        "bytes": entry.size,
        "origin": entry.origin,
        "note": entry.note,
        "fetchable": entry.fetched,
        "mirror": str(want.mirror) if want.mirrored else None,
        "files": {
            name: catalogue.state(want.root, want.name, name, file) for name, file in entry.files.items()
        },
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from flows.public.catalogue import megabytes

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("set", "here", "licence", "size", "from"):
        table.add_column(title, overflow="fold", no_wrap=title not in ("from", "licence"))
    for row in rows:
        states = set(row["files"].values())
        here = "yes" if states == {"here"} else "differs" if "differs" in states else "no"
        place = row["mirror"] or (row["origin"] if row["fetchable"] else "a mirror only (--json says why)")
        cells = (row["name"], here, row["licence"], megabytes(row["bytes"]), place)
        table.add_row(*(escape(cell) for cell in cells))
    out.print(table)
