"""Ways to falsify a finished project: each must be refused by the audit, which must name what was changed,
and none may count as fresh.

The catalogue is made from dvc.lock, so it serves the toy graph and the real default (benchmarks/tampers.py)
alike.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from flows.graph.stage_records import CODE_LOCK, PARAMS
from tasks.content import file_digest
from tests.flows.workbench import Workbench

NOTHING = "0" * 32
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Tamper:
    """`named`: what the audit must say. `stale`: a stage that the plan must not keep. `registry`: the audit
    must ask MLflow.
    """

    name: str
    named: str
    changes: tuple[Callable[[Workbench], Any], ...]
    stale: str | None = None
    registry: bool = False

    def apply(self, bench: Workbench) -> None:
        for change in self.changes:
            change(bench)


def catalogue(bench: Workbench) -> list[Tamper]:
    """All tampers of the project, as it is now."""
    rows = present(bench)
    found = [
        *_bytes(bench, rows),
        *_entries(rows),
        *_run_cache(rows),
        *_lineage(rows),
        *_links(bench, rows),
        *_cache(bench, rows),
        *_raw(bench, rows),
    ]
    found += _registry(bench) if (bench.root / ".whetstone/mlflow.db").exists() else []
    assert len({tamper.name for tamper in found}) == len(found)
    return found


def present(bench: Workbench) -> Rows:
    """The entries of dvc.lock whose outputs are there; others are of stages that params.yaml no longer
    has.
    """
    rows = {name: row for name, row in bench.lock()["stages"].items() if name != "code"}
    return {
        name: row
        for name, row in rows.items()
        if all((bench.root / out["path"]).exists() for out in row["outs"])
    }


def files(bench: Workbench, out: str) -> list[str]:
    place = bench.root / out
    return (
        [out]
        if place.is_file()
        else sorted(path.relative_to(bench.root).as_posix() for path in place.rglob("*") if path.is_file())
    )


# -- bytes ---------------------------------------------------------------------------------------------------


def _bytes(bench: Workbench, rows: Rows) -> Iterator[Tamper]:
    """Every output of every stage: one bit, a cut end, nothing left, something more, another name."""
    for stage, row in rows.items():
        for out in row["outs"]:
            for path in files(bench, out["path"])[:2]:
                data = (bench.root / path).read_bytes()
                yield Tamper(f"{path}: one bit", path, (partial(Workbench.flip, path=path),))
                yield Tamper(
                    f"{path}: seven bytes less",
                    path,
                    (partial(Workbench.write, path=path, data=data[:-7]),),
                    stage,
                )
                yield Tamper(
                    f"{path}: longer", path, (partial(Workbench.write, path=path, data=data + b"\n"),), stage
                )
            first = files(bench, out["path"])[0]
            yield Tamper(f"{first}: emptied", first, (partial(Workbench.write, path=first, data=b""),), stage)
            if out["md5"].endswith(".dir"):
                extra = f"{out['path']}/extra.bin"
                yield Tamper(
                    f"{extra}: new", extra, (partial(Workbench.write, path=extra, data=b"x"),), stage
                )
                moved = (
                    partial(Workbench.replace, path=f"{first}.old", source=first),
                    partial(Workbench.remove, path=first),
                )
                yield Tamper(f"{first}: another name", first, moved, stage)


# -- entries of dvc.lock -------------------------------------------------------------------------------------


def _entries(rows: Rows) -> Iterator[Tamper]:
    """Every field of every entry."""
    for stage, row in rows.items():
        for title, edit in edits(row):
            yield Tamper(
                f"dvc.lock {stage}: {title}",
                stage,
                (partial(Workbench.edit_lock, stage=stage, edit=edit),),
                stage,
            )


def edits(row: dict[str, Any]) -> Iterator[tuple[str, Callable[[dict[str, Any]], Any]]]:
    """(title, edit in place) of the fields of an entry."""
    yield "command", lambda r: r.update(cmd=r["cmd"] + " --fast")
    params = row["params"]
    for key, value in params.get(PARAMS, {}).items():
        yield f"parameter {key}", lambda r, k=key, v=other(value): r["params"][PARAMS].update({k: v})
    if PARAMS in params:
        yield "a parameter more", lambda r: r["params"][PARAMS].update({"identity.extra": 1})
        yield "a parameter less", lambda r: r["params"][PARAMS].pop(next(iter(r["params"][PARAMS])))
    yield "code", lambda r: _modules(r).update({next(iter(_modules(r))): NOTHING[:12]})
    yield "code less", lambda r: _modules(r).pop(next(iter(_modules(r))))
    yield "Python", lambda r: next(iter(r["params"][CODE_LOCK].values())).update(python="3.9")
    for kind, name in (("deps", "input"), ("outs", "output")):
        for index, item in enumerate(row.get(kind, [])):
            digest = NOTHING + (".dir" if item["md5"].endswith(".dir") else "")
            yield f"{name} {index} {item['path']}", lambda r, k=kind, i=index, d=digest: r[k][i].update(md5=d)
    if row.get("deps"):
        yield "an input less", lambda r: r["deps"].pop()


def _modules(row: dict[str, Any]) -> dict[str, str]:
    return next(iter(row["params"][CODE_LOCK].values()))["modules"]


def other(value: Any) -> Any:
    """Another value of the same kind, somewhere inside."""
    if isinstance(value, dict) and value:
        key = next(iter(value))
        return {**value, key: other(value[key])}
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x" if isinstance(value, str) else [*value, "x"] if isinstance(value, list) else "x"


# -- the run cache and lineage.json --------------------------------------------------------------------------


def _cut(bench: Workbench, row: dict[str, Any]) -> None:
    bench.write(bench.run_cache(row), bench.run_cache(row).read_bytes()[:200])


def _zeroed(bench: Workbench, row: dict[str, Any]) -> None:
    bench.write(bench.run_cache(row), bytes(bench.run_cache(row).stat().st_size))


def _another_command(bench: Workbench, row: dict[str, Any]) -> None:
    bench.write(
        bench.run_cache(row), bench.run_cache(row).read_bytes().replace(b"cmd: python", b"cmd: Python", 1)
    )


def _gone(bench: Workbench, row: dict[str, Any]) -> None:
    bench.remove(bench.run_cache(row))


def _run_cache(rows: Rows) -> Iterator[Tamper]:
    """Entries of the run cache: damaged, edited, gone together with an edit of dvc.lock, forged under the
    right name.
    """
    for stage, row in rows.items():
        for title, change in (("cut", _cut), ("zeroed", _zeroed), ("another command", _another_command)):
            yield Tamper(f"run cache {stage}: {title}", stage, (partial(change, row=row),))
        edited = partial(Workbench.edit_lock, stage=stage, edit=lambda entry: entry.update(cmd="true"))
        yield Tamper(
            f"run cache {stage}: gone, and dvc.lock edited", stage, (partial(_gone, row=row), edited), stage
        )
        if any(out["path"].endswith("lineage.json") for out in row["outs"]):
            for title, edit in edits(row):
                if title.startswith(("parameter", "code", "input")):
                    forged = copy.deepcopy(row)
                    edit(forged)
                    change = partial(Workbench.forge, stage=stage, before=row, after=forged)
                    yield Tamper(f"run cache {stage}: {title}, forged with dvc.lock", stage, (change,), stage)


def _edited_record(bench: Workbench, path: str, name: str) -> None:
    record = bench.json(path)
    bench.write_json(path, {**record, name: other(record.get(name))})


def _fitted(bench: Workbench, stage: str, path: str) -> None:
    """Let dvc.lock and the cache hold the file as it is now."""
    digest, data = file_digest(bench.root / path), (bench.root / path).read_bytes()
    bench.write(bench.object(digest), data)
    bench.edit_lock(
        stage,
        lambda row: [out.update(md5=digest, size=len(data)) for out in row["outs"] if out["path"] == path],
    )


def _lineage(rows: Rows) -> Iterator[Tamper]:
    """Every field of every lineage.json, alone and with the digest in dvc.lock made to fit."""
    for stage, row in rows.items():
        for path in [out["path"] for out in row["outs"] if out["path"].endswith("lineage.json")]:
            for name in (
                "stage",
                "key",
                "command",
                "params",
                "inputs",
                "code",
                "seed",
                "files",
                "model_digest",
                "outs",
                "metrics",
            ):
                edited = partial(_edited_record, path=path, name=name)
                yield Tamper(f"{path}: {name}", path, (edited,), stage)
                if name not in ("key", "seed", "files", "metrics") and (
                    name != "outs" or len(row["outs"]) > 2
                ):
                    yield Tamper(
                        f"{path}: {name}, and dvc.lock fits",
                        stage,
                        (edited, partial(_fitted, stage=stage, path=path)),
                        stage,
                    )
            yield Tamper(f"{path}: no JSON", path, (partial(Workbench.write, path=path, data=b"{"),), stage)


# -- links, the cache, raw data ------------------------------------------------------------------------------


def _links(bench: Workbench, rows: Rows) -> Iterator[Tamper]:
    """Another model or file behind the name."""
    models = {
        stage: out["path"]
        for stage, row in rows.items()
        for out in row["outs"]
        if out["path"].endswith("/model")
    }
    for stage, path in models.items():
        sibling = next(model for model in models.values() if model != path)
        pairs = [
            (path, sibling),
            (path.replace("/model", "/lineage.json"), sibling.replace("/model", "/lineage.json")),
        ]
        pairs.append((files(bench, path)[0], files(bench, sibling)[0]))
        for place, behind in pairs:
            yield Tamper(
                f"{place}: a copy of {behind}",
                place,
                (partial(Workbench.replace, path=place, source=behind),),
                stage,
            )
            yield Tamper(
                f"{place}: a link to {behind}",
                place,
                (partial(Workbench.link, path=place, target=bench.root / behind),),
                stage,
            )
        yield Tamper(
            f"{place}: a link to nothing",
            place,
            (partial(Workbench.link, path=place, target="nowhere"),),
            stage,
        )
        inside = f"{path}/more"
        yield Tamper(
            f"{inside}: a link to a folder",
            inside,
            (partial(Workbench.link, path=inside, target=bench.root / sibling),),
        )


def _cache(bench: Workbench, rows: Rows) -> Iterator[Tamper]:
    """The object in the cache is damaged, and the workspace no longer has the file."""
    for out in [out for row in rows.values() for out in row["outs"] if out["md5"].endswith(".dir")]:
        path, listing = out["path"], bench.object(out["md5"])
        held, gone = (
            bench.object(json.loads(listing.read_bytes())[0]["md5"]),
            partial(Workbench.remove, path=path),
        )
        yield Tamper(f"{path}: its object flipped", path, (gone, partial(Workbench.flip, path=held)))
        yield Tamper(f"{path}: its object gone", path, (gone, partial(Workbench.remove, path=held)))
        yield Tamper(
            f"{path}: its listing cut",
            path,
            (gone, partial(Workbench.write, path=listing, data=listing.read_bytes()[:40])),
        )
        yield Tamper(f"{path}: its listing gone", path, (gone, partial(Workbench.remove, path=listing)))


def _raw(bench: Workbench, rows: Rows) -> Iterator[Tamper]:
    made = {out["path"] for row in rows.values() for out in row["outs"]}
    for stage, row in rows.items():
        for path in [
            dep["path"]
            for dep in row.get("deps", [])
            if not any(f"{out}/".startswith(f"{dep['path']}/") for out in made)
        ]:
            file = files(bench, path)[0]
            data = (bench.root / file).read_bytes()
            yield Tamper(f"{file} for {stage}: one bit", file, (partial(Workbench.flip, path=file),))
            yield Tamper(
                f"{file} for {stage}: longer",
                file,
                (partial(Workbench.write, path=file, data=data + b"!\n"),),
                stage,
            )
            yield Tamper(
                f"{file} for {stage}: emptied", file, (partial(Workbench.write, path=file, data=b""),), stage
            )
            if (bench.root / path).is_dir():
                more = f"{path}/more.txt"
                yield Tamper(
                    f"{more} for {stage}: new",
                    more,
                    (partial(Workbench.write, path=more, data=b"x\n"),),
                    stage,
                )
                yield Tamper(
                    f"{file} for {stage}: gone", path, (partial(Workbench.remove, path=file),), stage
                )
                yield Tamper(
                    f"{more} for {stage}: a link to a folder",
                    more,
                    (partial(Workbench.link, path=more, target=bench.root / "flows"),),
                )


# -- the registry --------------------------------------------------------------------------------------------

TAG = "UPDATE model_version_tags SET value = ? WHERE name = ? AND version = ? AND key = ?"
SOURCE = "UPDATE model_versions SET source = ? WHERE name = ? AND version = ?"
RUN_TAG = "UPDATE tags SET value = 'x' WHERE run_uuid = ? AND key = ?"
RUN_PARAM = "UPDATE params SET value = 'x' WHERE run_uuid = ? AND key = ?"


def _registry(bench: Workbench) -> Iterator[Tamper]:
    """Tags and sources of versions; tags and parameters of the runs that made them."""
    for name, version, run in bench.ask("SELECT name, version, run_id FROM model_versions"):
        label, forged = f"{name}:{version}", f"{NOTHING}.dir"
        source = (SOURCE, f"dvc://{forged}/models/{name}/model", name, version)
        statements = {
            f"tag {tag}": [(TAG, forged, name, version, tag)]
            for tag in ("stage", "stage.key", "whetstone.run", "dvc.md5")
        }
        statements |= {
            "source": [source],
            "source and tag": [source, (TAG, forged, name, version, "dvc.md5")],
        }
        statements |= {
            f"tag {tag} of its run": [(RUN_TAG, run, tag)] for tag in ("stage", "stage.key", "whetstone.run")
        }
        params = bench.ask("SELECT key FROM params WHERE run_uuid = ? ORDER BY key LIMIT 4", run)
        statements |= {f"parameter {key} of its run": [(RUN_PARAM, run, key)] for (key,) in params}
        for title, changes in statements.items():
            yield Tamper(
                f"registry {label}: {title}",
                label,
                tuple(partial(_sql, words=words) for words in changes),
                registry=True,
            )


def _sql(bench: Workbench, words: tuple[Any, ...]) -> None:
    bench.sql(*words)


def said(problems: list[Any]) -> str:
    """All that an audit found, as one text."""
    return "\n".join(f"{problem.path}: {problem.problem}" for problem in problems)
