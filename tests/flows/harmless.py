"""Changes of a finished project that change no result: the audit must accept each of them, and the plan must
keep every stage.
"""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ruamel.yaml import YAML

from flows.graph.stage_records import load_yaml
from tests.flows.tampers import files, present
from tests.flows.workbench import Workbench, dump_yaml

Change = Callable[[Workbench], Any]
STATE = ("timings.json", "graph.json", "closure.json", "dvc.lock.good", "manifests", "locks", "verified.json")


def catalogue(bench: Workbench) -> list[tuple[str, Change]]:
    """(name, change), each harmless alone and together with the others."""
    return [
        *_times(bench),
        *_lock(),
        *_params(),
        *_code(bench),
        *_strays(bench),
        *_links(bench),
        *_caches(bench),
        *_people(bench),
    ]


def _rows(bench: Workbench) -> dict[str, Any]:
    return present(bench)


def _times(bench: Workbench) -> Iterator[tuple[str, Change]]:
    outs = [files(bench, out["path"])[0] for row in _rows(bench).values() for out in row["outs"]]
    for path in [*outs[::3], "params.yaml", "dvc.lock", "dvc.yaml", "tasks/sft.py", "requirements.lock"]:
        yield f"{path} touched", partial(Workbench.touch, path=path)
    for path in outs[1::6]:
        yield f"{path} read-only", lambda b, p=path: (b.touch(p), (b.root / p).chmod(0o444))


def _relock(bench: Workbench, edit: Callable[[dict[str, Any]], Any]) -> None:
    value = bench.lock()
    edit(value)
    bench.write_lock(value)


def _block(value: Any) -> bytes:
    stream = io.BytesIO()
    YAML().dump(value, stream)
    return stream.getvalue()


def _reversed(value: Any) -> Any:
    return {key: _reversed(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


def _lock() -> Iterator[tuple[str, Change]]:
    """The same content in other words."""
    yield "dvc.lock written anew", lambda b: b.write_lock(b.lock())
    yield "dvc.lock in JSON's words", lambda b: b.write("dvc.lock", json.dumps(b.lock(), indent=1).encode())
    yield "dvc.lock's keys turned round", lambda b: b.write("dvc.lock", _block(_reversed(b.lock())))
    yield (
        "dvc.lock with a comment",
        lambda b: b.write("dvc.lock", b"# of last week\n" + (b.root / "dvc.lock").read_bytes() + b"\n\n"),
    )
    yield (
        "dvc.lock with CRLF",
        lambda b: b.write("dvc.lock", (b.root / "dvc.lock").read_bytes().replace(b"\n", b"\r\n")),
    )
    yield (
        "a stage more in dvc.lock",
        lambda b: _relock(
            b, lambda v: v["stages"].update(old={"cmd": "true", "outs": [{"path": "old", "md5": "0" * 32}]})
        ),
    )
    yield (
        "no sizes in dvc.lock",
        lambda b: _relock(
            b, lambda v: [item.pop("size", None) for row in v["stages"].values() for item in row["outs"]]
        ),
    )
    yield (
        "inputs in another order",
        lambda b: _relock(
            b, lambda v: [row["deps"].reverse() for row in v["stages"].values() if "deps" in row]
        ),
    )


def _params() -> Iterator[tuple[str, Change]]:
    def rewritten(bench: Workbench, write: Callable[[Any], bytes]) -> None:
        bench.write("params.yaml", write(load_yaml((bench.root / "params.yaml").read_bytes())))

    yield "params.yaml by ruamel", partial(rewritten, write=dump_yaml)
    yield "params.yaml's keys turned round", partial(rewritten, write=lambda value: _block(_reversed(value)))
    yield (
        "a comment in params.yaml",
        lambda b: b.write("params.yaml", b"# mine\n" + (b.root / "params.yaml").read_bytes()),
    )
    for key, value in {
        "threads": 2,
        "jobs": 3,
        "cpu_slots": 1,
        "grace_s": 5,
        "log_period_s": 3,
        "timeout_s": 4000,
    }.items():
        yield f"execution.{key}", lambda b, k=key, v=value: b.edit_params({f"execution.{k}": v})


def _code(bench: Workbench) -> Iterator[tuple[str, Change]]:
    def appended(bench: Workbench, path: str, text: str) -> None:
        bench.write(path, (bench.root / path).read_bytes() + text.encode())

    for path in ("tasks/corpus.py", "tasks/sft.py", "pipelines/settings.py"):
        yield f"a comment in {path}", partial(appended, path=path, text="\n# a remark\n\n")
    yield (
        "a docstring",
        lambda b: b.write(
            "tasks/rl.py", b'"""Other words."""\n' + (b.root / "tasks/rl.py").read_bytes().split(b"\n", 1)[1]
        ),
    )
    yield "a comment in dvc.yaml", partial(appended, path="dvc.yaml", text="\n# a remark\n")
    yield (
        "another description",
        lambda b: b.write(
            "dvc.yaml", (b.root / "dvc.yaml").read_bytes().replace(b"desc: supervised", b"desc: Supervised")
        ),
    )
    yield "flows changed", partial(appended, path="flows/cli.py", text="\nUNUSED = 1\n")
    yield "a module that no stage reaches", lambda b: b.write("pipelines/unreached.py", b"VALUE = 1\n")


def _strays(bench: Workbench) -> Iterator[tuple[str, Change]]:
    """Files that nobody declares, in places that nobody reads."""
    for path in (
        "notes.txt",
        "models/notes.txt",
        "models/old/model/w.bin",
        "data/scratch.bin",
        "raw/README.txt",
        "docs/todo.md",
        ".env",
        ".whetstone/x",
    ):
        yield f"{path} new", partial(Workbench.write, path=path, data=b"hello\n")
    for name in STATE:
        yield f".whetstone/{name} gone", partial(Workbench.remove, path=f".whetstone/{name}")
    yield "DVC's notes gone", partial(Workbench.remove, path=".dvc/tmp")


def _links(bench: Workbench) -> Iterator[tuple[str, Change]]:
    """DVC's cache types: the same bytes behind links into the cache."""

    def cached(bench: Workbench, path: str, digest: str, make: Callable[[Any, Any], None]) -> None:
        bench.remove(path)
        make(bench.object(digest), bench.root / path)

    single = [out for row in _rows(bench).values() for out in row["outs"] if not out["md5"].endswith(".dir")]
    for index, out in enumerate(single[:6]):
        name, make = (("symlink", os.symlink), ("hardlink", os.link))[index % 2]
        yield f"{out['path']} as a {name}", partial(cached, path=out["path"], digest=out["md5"], make=make)
    for index, out in enumerate(
        [out for row in _rows(bench).values() for out in row["outs"] if out["path"].endswith("/model")]
    ):
        name, make = (("symlink", os.symlink), ("hardlink", os.link))[index % 2]
        for row in json.loads(bench.object(out["md5"]).read_bytes()):
            yield (
                f"{out['path']}/{row['relpath']} as a {name}",
                partial(cached, path=f"{out['path']}/{row['relpath']}", digest=row["md5"], make=make),
            )


def _caches(bench: Workbench) -> Iterator[tuple[str, Change]]:
    yield "a stray object", lambda b: b.write(b.object(f"{random.Random(0).getrandbits(128):032x}"), b"stray")
    yield (
        "a stray run-cache entry",
        lambda b: b.write(f".dvc/cache/runs/00/{'0' * 64}/{'1' * 64}", b"cmd: true\nouts: []\n"),
    )
    yield (
        "an empty folder of the run cache",
        lambda b: (b.root / f".dvc/cache/runs/11/{'1' * 64}").mkdir(parents=True, exist_ok=True),
    )
    yield "an unfinished object", lambda b: b.write(".dvc/cache/files/md5/aa/.xyz.tmp", b"half")


def _people(bench: Workbench) -> Iterator[tuple[str, Change]]:
    yield (
        "a line in .gitignore",
        lambda b: b.write(".gitignore", (b.root / ".gitignore").read_bytes() + b"/mine/\n"),
    )
    yield "a lock file gone", partial(Workbench.remove, path="requirements.lock.bak")
