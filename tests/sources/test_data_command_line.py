"""Data sets from outside, as a user has them: `whetstone …` in clones of the whole repository, one by a
Hugging Face id (of a hub on loopback), one from an installed package. What is pinned stays, other bytes under
the same name are refused by name. `WHETSTONE_SOURCES=1 pytest tests/sources/test_data_command_line.py`, a
minute and a half of processor time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from tests import clone
from tests.flows.toy import Project
from tests.sources.hub import Hub
from tests.sources.test_hub import ROWS, data_set

HELD, TRAIN = "rows/held.jsonl", "rows/train-1.jsonl"
PACKAGED = "some_rows/data/held.jsonl"


def settings(hub: str, package: str) -> dict[str, object]:
    """One corpus of two data sets from outside: questions by id, held-out ones from a package."""
    source = {"reader": "table", "columns": {"question": "question", "answer": "answer"}}
    return {
        "corpus.exam.sources": {
            "asked": {**source, "id": hub, "splits": {"rl": "train", "validation": "test"}},
            "held": {
                **source,
                "id": {"package": package, "file": "held.jsonl"},
                "splits": {"heldout": "held.jsonl"},
            },
        },
        "sft.runs.sft.data": "rlvr",  # these rows demonstrate nothing
        "base.runs.base.tokenizer": {"kind": "char", "alphabet": "bytes"},
        "corpus.exam.validation_share": 0,
        "execution.offline": False,
        "execution.retries": 0,
        "execution.grace_s": 2,
    }


def package(site: Path, version: str = "1.2") -> Path:
    """An installed package, some-rows, that brings rows."""
    (site / "some_rows/data").mkdir(parents=True)
    info = site / f"some_rows-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some-rows\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{PACKAGED},,\n")
    rows = [
        {"question": "a held-out question of the package", "answer": "11"},
        {"question": "and a second, unlike the first", "answer": "12"},
    ]
    (site / PACKAGED).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return site


def project(folder: Path, hub: Hub, site: Path) -> Project:
    """A clone with a hub's cache of its own that is empty."""
    found = clone.make(folder, settings("some/rows", "some-rows"))
    found.env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder.parent / "hf"), "PYTHONPATH": str(site)}
    return found


def refused(project: Project, *words: str) -> str:
    """`whetstone run` fails, and what it says."""
    done = project.call("run", "corpus@exam", *words)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def sources(project: Project) -> dict[str, str]:
    """{"hub" or "package": name}."""
    taken = json.loads((project.folder / "source.lock.json").read_text())["taken"]
    return {"hub" if "hub" in entry["source"] else "package": name for name, entry in taken.items()}


@pytest.mark.skipif(
    "WHETSTONE_SOURCES" not in os.environ, reason="WHETSTONE_SOURCES=1 tries all that comes from outside"
)
def test_data_by_id_and_from_a_package(tmp_path: Path):
    site = package(tmp_path / "site")
    with Hub() as hub:
        first = hub.commit("datasets/some/rows", data_set(tmp_path / "files"))
        here = project(tmp_path / "here/project", hub, site)
        ended = {name: stage["ended"] for name, stage in here.run("corpus@exam")["stages"].items()}
        named = sources(here)
        assert ended == {
            "corpus@exam": "run",
            f"source@{named['hub']}": "run",
            f"source@{named['package']}": "run",
        }
        records = [
            json.loads(line)
            for path in (here.folder / "data/exam/records").glob("*.jsonl")
            for line in path.read_text().splitlines()
        ]
        assert sorted(row["answer"] for row in records) == sorted(
            [*(row["answer"] for row in ROWS), "7", "11", "12"]
        )
        lineage_has(here, f"some/rows@{first[:12]}/{TRAIN}", tmp_path / "files" / TRAIN)
        lineage_has(here, "some-rows 1.2: held.jsonl/held.jsonl", site / PACKAGED)

        (tmp_path / "files" / TRAIN).write_text('{"question": "new", "answer": "1"}\n')
        second = hub.commit("datasets/some/rows", tmp_path / "files")  # the branch moves
        assert here.plan("corpus@exam") == {}
        said = " ".join(here.call("run", "corpus@exam", "--force").stdout.split())
        assert (
            f"corpus@exam: notice: some/rows: main has moved to {second}; this project stays with {first}"
            in said
        )
        lineage_has(here, f"some/rows@{first[:12]}/{HELD}", tmp_path / "files" / HELD)

        # other bytes under the same version of the package
        (site / PACKAGED).write_text((site / PACKAGED).read_text().replace("11", "12"))
        assert "some-rows 1.2: held.jsonl" in audited(here)
        assert "some-rows 1.2: held.jsonl: held.jsonl changed since it was taken in" in refused(
            here, "--force"
        )

        # the same to a colleague with an empty cache, and other bytes under the same commit
        there = colleague(tmp_path / "there/project", here, hub, site)
        hub.commits["datasets/some/rows"][first][TRAIN] += b"\n"
        said = refused(there)
        assert (
            f"some/rows@{first[:12]} is not what was first taken in under this name: {TRAIN} has other bytes"
            in said
        )
        assert (
            "some-rows 1.2: held.jsonl is not what was first taken in under this name: held.jsonl has other bytes"
            in said
        )
        assert not (there.folder / "data/exam/records").exists()

        # another version is another input
        shutil.rmtree(site)
        package(site, "1.3")
        assert here.plan("corpus@exam")[f"source@{named['package']}"] == "run"


def lineage_has(project: Project, path: str, file: Path) -> None:
    rows = {
        row["path"]: row
        for row in json.loads(project.call("lineage", "data/exam/records", "--json").stdout)["raw"]
    }
    assert (rows[path]["digest"], rows[path]["status"]) == (
        "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest(),
        "verified",
    )


def audited(project: Project) -> str:
    done = project.call("audit", "data/exam/records")
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def colleague(folder: Path, of: Project, hub: Hub, site: Path) -> Project:
    """What git would bring: settings and pins."""
    there = project(folder, hub, site)
    for name in ("params.yaml", "source.lock.json"):
        shutil.copyfile(of.folder / name, folder / name)
    return there
