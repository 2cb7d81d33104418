"""Bytes that a remote or a loss of power damaged: found before they are used, set aside, said; recovered from
what is still whole.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.graph import plan
from flows.graph.dvc_api import BrokenLock
from flows.graph.params_file import ParamsError
from flows.provenance.audit import audited
from flows.provenance.history import BrokenRecord
from flows.provenance.lineage import Ancestry
from tasks.stage import Spec
from tests.flows import toy
from tests.flows.accident import Scene
from tests.flows.workbench import Workbench

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut by seven bytes": lambda data: data[:-7],
    "one bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "emptied": lambda data: b"",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_an_object_that_the_remote_sends_damaged(graph: toy.Project, tmp_path: Path, kind: str) -> None:
    """DVC takes it for whole; the plan does not, and a run sets it aside and makes the result again."""
    graph.git("add", "-A")
    graph.git("commit", "-qm", "done")
    graph.dvc("remote", "add", "-d", "store", str(tmp_path / "store"))
    graph.git("commit", "-qam", "remote")
    assert graph.dvc("push", "--run-cache").returncode == 0
    bench = Workbench(graph.folder)
    digest = next(
        out["md5"] for out in bench.lock()["stages"]["sft@sft"]["outs"] if out["path"] == "models/sft/model"
    )
    (row,) = json.loads(bench.object(digest).read_bytes())
    sent = tmp_path / "store/files/md5" / row["md5"][:2] / row["md5"][2:]
    sent.chmod(0o644)
    sent.write_bytes(DAMAGE[kind](sent.read_bytes()))
    subprocess.run(
        ["git", "clone", "-q", str(graph.folder), str(tmp_path / "clone")], env=graph.env, check=True
    )
    clone = toy.Project(tmp_path / "clone", graph.python)
    clone.dvc("pull", "--run-cache")
    (clone.folder / ".whetstone").mkdir(exist_ok=True)
    (clone.folder / ".whetstone/bring.py").write_text((graph.folder / ".whetstone/bring.py").read_text())
    assert "changed in 'dvc.lock'" not in clone.dvc("status").stdout
    assert clone.plan()["sft@sft"] == "run"
    assert any("damaged" in reason for reason in clone.reasons("sft@sft"))
    assert clone.bring("sft@sft") == {"sft@sft": "run"}
    assert clone.ran() == ["sft@sft"]
    assert clone.plan() == {}
    assert (clone.folder / "models/sft/model/content.txt").read_bytes() == (
        graph.folder / "models/sft/model/content.txt"
    ).read_bytes()
    assert list((clone.folder / ".whetstone/broken").rglob("content.txt"))
    assert audited(Ancestry(clone.folder, "models/grpo")) == []


def test_dvc_lock_and_its_copy_zeroed_come_back_from_a_commit(scene: Scene) -> None:
    before = scene.shown()
    scene.git("add", "-A")
    scene.git("commit", "-qm", "done")
    for path in (scene.folder / "dvc.lock", scene.folder / ".whetstone/dvc.lock.good"):
        path.write_bytes(bytes(path.stat().st_size))
    scene.session()
    assert scene.ran() == []
    assert scene.shown() == before
    assert scene.plan() == {}
    assert any("taken back from commit" in text for text in scene.heard.said)


def test_nothing_is_left_but_the_models_and_their_records(scene: Scene) -> None:
    """dvc.lock, its copies and the run cache are lost: what a lineage.json tells whole is not trained
    again.
    """
    before = scene.shown()
    for path in [scene.folder / "dvc.lock", scene.folder / ".whetstone/dvc.lock.good"]:
        path.write_bytes(bytes(path.stat().st_size))
    for path in [path for path in (scene.folder / ".dvc/cache/runs").rglob("*") if path.is_file()]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for ref in scene.git("for-each-ref", "--format=%(refname)", "refs/pipeline").split():
        scene.git("update-ref", "-d", ref)
    outcome = scene.session()
    assert {
        name: how for name, how in outcome.how.items() if name in ("base@base", "sft@sft", "rl@grpo")
    } == dict.fromkeys(("base@base", "sft@sft", "rl@grpo"), "restore")
    assert not {"base@base", "sft@sft", "rl@grpo"} & set(scene.ran())
    assert scene.shown() == before
    assert scene.plan() == {}
    assert any("no copy of it can be read" in text for text in scene.heard.said)


def _faults(data: bytes) -> dict[str, bytes]:
    """What a loss of power, an editor or a bad merge leave of a file."""
    tenths = {f"cut at {tenth} tenths": data[: len(data) * tenth // 10] for tenth in range(1, 10)}
    types = {
        "a list": b"[1, 2]\n",
        "a text": b'"x"\n',
        "a number": b"7\n",
        "null": b"null\n",
        "other types": b'{"stages": [1], "files": 3, "outs": 4}\n',
    }
    return {
        **tenths,
        **types,
        "zeroed": bytes(len(data)),
        "half zeroed": data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
        "garbage": b"\x00\xff{]:" * 50,
        "no YAML": b"a: [b\n  c: - d\n\t- e: }",
        "empty": b"",
    }


def test_every_fault_ends_in_a_plan_or_in_a_sentence(scene: Scene) -> None:
    """Never in a traceback, and never in a plan that keeps what the fault concerns."""
    bench = Workbench(scene.folder)
    rows = {name: row for name, row in bench.lock()["stages"].items() if name != "code"}
    listings = [
        bench.object(out["md5"])
        for row in rows.values()
        for out in row["outs"]
        if out["md5"].endswith(".dir") and bench.object(out["md5"]).exists()
    ]
    targets: dict[str, list[Path]] = {
        name: [scene.folder / name]
        for name in (
            "dvc.lock",
            "params.yaml",
            "code.lock.json",
            ".whetstone/closure.json",
            ".whetstone/verified.json",
            "models/sft/lineage.json",
        )
    }
    targets |= {
        "the run cache": [bench.run_cache(row) for row in rows.values()],
        "listings of folders": listings,
    }
    answered = []
    for name, paths in targets.items():
        for kind in _faults(b"x"):
            for path in [path for path in paths if path.exists()]:
                bench.write(path, _faults(path.read_bytes())[kind])
            with contextlib.suppress(
                *((BrokenLock,) if name == "dvc.lock" else (ParamsError,) if name == "params.yaml" else ())
            ):
                stale = {row.stage for row in plan.make(scene.folder).rows if row.action != "keep"}
                assert name != "models/sft/lineage.json" or "sft@sft" in stale
            with contextlib.suppress(*((BrokenRecord,) if name == "dvc.lock" else ())):
                audited(Ancestry(scene.folder, "models/grpo"))
            answered.append((name, kind))
            bench.undo()
    assert len(answered) == len(targets) * len(_faults(b"x"))


def test_damaged_run_cache_entries_are_passed_over(scene: Scene) -> None:
    """Cut in half they ended every stage with `join() argument must be str`; now the stage runs, and writes
    its entry anew.
    """
    bench = Workbench(scene.folder)
    path = bench.run_cache(bench.lock()["stages"]["sft@sft"])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    lock = bench.lock()
    del lock["stages"]["sft@sft"]
    bench.write_lock(lock)
    (scene.folder / "models/sft/lineage.json").unlink()  # or its record alone would bring the result back
    assert any(path.name in note for note in plan.make(scene.folder).notes)
    assert scene.session("sft@sft").how["sft@sft"] == "run"
    assert scene.plan() == {}


def test_objects_that_the_remote_lost_or_replaced_are_named_and_mended(
    graph: toy.Project, tmp_path: Path
) -> None:
    """Other bytes of the same size, and a file that is gone: `pull` takes the one and misses the other, the
    plan and the audit name both.
    """
    bench = Workbench(graph.folder)
    graph.dvc("remote", "add", "-d", "store", str(tmp_path / "store"))
    graph.git("add", "-A")
    graph.git("commit", "-qm", "done")
    assert graph.dvc("push", "--run-cache").returncode == 0
    digests = [
        out["md5"]
        for stage in ("base@base", "sft@sft")
        for out in bench.lock()["stages"][stage]["outs"]
        if out["path"].endswith("/model")
    ]
    sent = []
    for digest in digests:
        name = json.loads(bench.object(digest).read_bytes())[0]["md5"]
        sent.append(tmp_path / "store/files/md5" / name[:2] / name[2:])
    whole = [path.read_bytes() for path in sent]
    sent[0].chmod(0o644)
    sent[0].write_bytes(b"\0" * len(whole[0]))
    sent[1].unlink()
    subprocess.run(
        ["git", "clone", "-q", str(graph.folder), str(tmp_path / "clone")], env=graph.env, check=True
    )
    clone = toy.Project(tmp_path / "clone", graph.python)
    assert clone.dvc("pull", "--run-cache").returncode != 0
    named = sent[0].relative_to(tmp_path / "store").as_posix()
    (reason,) = [reason for reason in clone.reasons("base@base", "sft@sft") if named in reason]
    assert any(
        "models/sft/model is missing and not in the cache" in reason
        for reason in clone.reasons("sft@sft", "sft@sft")
    )
    refused = clone.call("audit", "models/sft")
    assert refused.returncode == 1
    assert "models/base/model/content.txt: corrupt" in refused.stdout
    assert "models/sft/model: missing" in refused.stdout

    for path, text in zip(sent, whole, strict=True):  # whoever keeps the remote puts it right
        path.unlink(missing_ok=True)
        path.write_bytes(text)
    subprocess.run(reason.split("`")[1], shell=True, cwd=clone.folder, env=graph.env, check=True)
    assert clone.dvc("pull", "--run-cache").returncode == 0
    assert clone.plan() == {}
    assert clone.call("audit", "models/sft").returncode == 0


def test_swapped_objects_are_named_with_the_way_to_fetch_them_again(
    graph: toy.Project, tmp_path: Path
) -> None:
    """DVC believes an object that is write-protected; it holds what another one should."""
    bench = Workbench(graph.folder)
    digests = [
        out["md5"]
        for stage in ("base@base", "sft@sft")
        for out in bench.lock()["stages"][stage]["outs"]
        if out["path"].endswith("/model")
    ]
    objects = [bench.object(json.loads(bench.object(digest).read_bytes())[0]["md5"]) for digest in digests]
    graph.dvc("remote", "add", "-d", "store", str(tmp_path / "store"))
    assert graph.dvc("push", "--run-cache").returncode == 0
    for path, text in zip(objects, [path.read_bytes() for path in reversed(objects)], strict=True):
        path.chmod(0o644)
        path.write_bytes(text)
        path.chmod(0o444)
    shutil.rmtree(graph.folder / "models/sft/model")
    assert graph.plan("sft@sft") == {"sft@sft": "run"}
    named = objects[1].relative_to(graph.folder).as_posix()
    (reason,) = [reason for reason in graph.reasons("sft@sft", "sft@sft") if named in reason]
    assert f"`rm -f {named}; dvc fetch sft@sft` brings it again" in reason
    # as the plan says
    subprocess.run(reason.split("`")[1], shell=True, cwd=graph.folder, env=graph.env, check=True)
    assert graph.plan("sft@sft") == {"sft@sft": "checkout"}
    assert graph.bring("sft@sft") == {"sft@sft": "restore"}
    assert graph.plan("sft@sft") == {}


def test_a_damaged_specification_is_named(tmp_path: Path) -> None:
    spec = Spec("sft@sft", "key", "work", ("models/sft/model",))
    path = tmp_path / "spec.json"
    spec.write(path)
    assert Spec.read(path) == spec
    whole = path.read_bytes()
    for data in (*_faults(whole).values(), whole.replace(b'"command": ""', b'"command": 7')):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"spec\.json is damaged"):
            Spec.read(path)
