"""Shared parts of the commands: consoles, failing with an exit code, the project's folder, edits of
params.yaml by `-S`, and the plan.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import typer

from flows.printable import PrintableConsole

out = PrintableConsole(highlight=False, soft_wrap=True)
err = PrintableConsole(stderr=True, highlight=False, soft_wrap=True)

DEBUG = "WHETSTONE_DEBUG"  # set: show the traceback of what nobody foresaw


def fail(message: str, code: int, as_json: bool = False) -> NoReturn:
    """Print what was wrong and what to do about it, and end with the exit code."""
    if as_json:
        print(json.dumps({"ok": False, "error": message.splitlines()}))
    else:
        err.print(message, style="red", markup=False)
    raise typer.Exit(code)


def write_page(path: Path, text: str, as_json: bool) -> None:
    """Write a page where the user asked for it and say so, or fail."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        fail(f"--html {path}: {error.strerror}; name a file in a folder that is there", 2, as_json)
    err.print(f"wrote {path}", markup=False)


def report_unexpected(error: Exception) -> int:
    """Print one sentence for an error that no command expected and write its traceback to a file. Returns the
    exit code.
    """
    from flows.workspace import STATE

    path = Path(STATE) / "logs" / f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    where = ""
    try:
        if Path("dvc.yaml").exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)), "utf-8", "backslashreplace")
            where = f"; details: {path}"
    except OSError:
        pass  # a full disk is often what it was about
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    err.print(f"{kind}{error_message(error)}{where}", style="red", markup=False)
    return 1


def error_message(error: BaseException) -> str:
    """Returns the error's text; for a full disk (or quota, or limit of a file's size) with what to do about
    it.
    """
    words = " ".join(str(error).split())[:600] or type(error).__name__
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(
        phrase in words
        for phrase in ("disk is full", "disk I/O error")  # SQLite's, below DVC's notes
    )
    return (
        f"{words}: free some space on the disk of {Path.cwd()} and try again; the earlier results are "
        f"untouched"
        if full
        else words
    )


def project(as_json: bool = False) -> Path:
    """Changes into the project's root and returns it: stages and DVC use paths relative to it."""
    from flows.workspace import NotAProject, find_root

    try:
        root = find_root()
    except NotAProject as error:
        fail(str(error), 2, as_json)
    os.chdir(root)
    return root


def checked_name(name: str, as_json: bool) -> None:
    """Fail where a run cannot have this name; an empty one is none."""
    if not name:
        return
    from flows.running.run_records import BadName, check_name

    try:
        check_name(name)
    except BadName as error:
        fail(str(error), 2, as_json)


def edited(
    root: Path, settings: list[str] | None, targets: list[str] | None, as_json: bool
) -> tuple[str, list[str]] | None:
    """Returns what `flows.edits.edited` does, or fails."""
    from flows import edits
    from flows.graph.params_file import ParamsError

    try:
        return edits.edited(root, settings or [], targets or [])
    except ParamsError as error:
        fail(str(error), 2, as_json)


def write_edited(root: Path, settings: list[str] | None, targets: list[str] | None, as_json: bool) -> None:
    """Write the params.yaml that `edited` returns, and print which presets it now lists."""
    changed = edited(root, settings, targets, as_json)
    if changed is None:
        return
    text, added = changed
    write_checked(root, text, targets, as_json)
    if added:
        err.print(f"params.yaml: added {', '.join(added)}", style="yellow", markup=False)


def write_checked(root: Path, text: str, targets: list[str] | None, as_json: bool) -> None:
    """Write a text that has been checked into params.yaml, if the targets are stages of it, or fail."""
    from flows import edits
    from flows.graph import dvc_api, plan
    from flows.graph.params_file import ParamsError
    from flows.workspace import Busy

    try:
        edits.write(root, text, targets or [])
    except (ParamsError, plan.UnknownStage) as error:
        fail(str(error), 2, as_json)
    except (Busy, SyntaxError, OSError) as error:
        fail(error_message(error), 1, as_json)
    except dvc_api.dvc_error() as error:
        fail(f"DVC: {error}", 1, as_json)


def own_settings(root: Path, as_json: bool, text: str | None = None) -> dict[str, Any]:
    """Returns {"recipe": …, "edited": […], "own": […]}: the recipe, its files that were edited since it was
    used, and the settings by which params.yaml (or `text` in its place) differs from it. They are printed
    first, if there are any.
    """
    from flows.graph import recipes
    from flows.graph.params_file import ParamsError

    try:
        changes, edited = recipes.own(root, text), recipes.edited_since(root)
    except ParamsError as error:
        fail(str(error), 2, as_json)
    if changes and not as_json:
        out.print(recipes.sentence(root, changes), style="yellow", markup=False)
    if edited and not as_json:
        use = f"whetstone use {recipes.active(root)}"
        out.print(f"{', '.join(edited)} changed since `{use}`; use it again", style="yellow", markup=False)
    return {"recipe": recipes.active(root), "edited": edited, "own": [change.as_json() for change in changes]}


def tried_rewards(root: Path, params: Any, as_json: bool, refuse: bool = True) -> list[dict[str, Any]]:
    """Returns what reward functions of the user's own say of five questions, after printing a line for
    each. Fails where one cannot be used at all; without `refuse` that is printed too.
    """
    from flows import reward_trial

    trials = reward_trial.trials(root, params)
    faults = reward_trial.faults(trials)
    if faults and refuse:
        fail("\n".join(faults), 2, as_json)
    if not as_json:
        for trial in trials:
            out.print(trial.sentence, style="red" if trial.fault else None, markup=False)
    return [trial.as_json() for trial in trials]


def rehearse(root: Path, text: str | None, as_json: bool, extra: dict[str, Any] | None = None) -> int:
    """Print the findings of a dry run of params.yaml, or of `text` in its place; with --json beside `extra`.
    Returns the exit code: 1 where a problem was found.
    """
    from flows.doctor import print_findings
    from flows.graph.params_file import PARAMS, ParamsError, parse, read_text
    from flows.rehearsal.dry_run import dry_run
    from flows.workspace import Busy, only_one_run

    def say(doing: str) -> None:
        if not as_json:
            err.print(f"dry run: {doing}", style="dim", markup=False)

    try:
        raw = parse(read_text(root / PARAMS) if text is None else text)
        with only_one_run(root), own_stdout():  # libraries greet on standard output
            findings = dry_run(root, raw, say)
    except ParamsError as error:
        fail(str(error), 2, as_json)
    except (Busy, OSError) as error:
        fail(error_message(error), 1, as_json)
    bad = sum(not finding.ok for finding in findings)
    if as_json:
        found = [finding.as_json() for finding in findings]
        print(json.dumps({**(extra or {}), "problems": bad, "findings": found}, indent=1))
    else:
        print_findings(out, findings)
        out.print(
            f"{bad} problem{'s' * (bad > 1)} found" if bad else "no problem found; `whetstone run` trains",
            markup=False,
        )
    return 1 if bad else 0


def make_plan(
    root: Path, targets: list[str] | None, force: bool, as_json: bool, text: str | None = None
) -> Any:
    from flows.graph import dvc_api, plan
    from flows.graph.params_file import ParamsError

    try:
        return plan.make(root, targets or [], force, text=text)
    except (ParamsError, plan.UnknownStage) as error:
        fail(str(error), 2, as_json)
    except dvc_api.BrokenLock as error:
        fail(
            f"dvc.lock cannot be read: {error}\n`whetstone run` moves it aside and brings the results back "
            f"from the run cache.",
            1,
            as_json,
        )
    except (SyntaxError, OSError) as error:
        fail(error_message(error), 1, as_json)
    except dvc_api.dvc_error() as error:
        fail(f"DVC: {error}", 1, as_json)


@contextmanager
def own_stdout() -> Iterator[IO[str]]:
    """Yields the real standard output. Everything else that is printed meanwhile, also by C code, goes to
    standard error.
    """
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace") as stream:
        os.dup2(2, 1)
        try:
            yield stream
        finally:
            stream.flush()
            os.dup2(stream.fileno(), 1)
