"""Models, tokenizers and data sets by Hugging Face id: what is pinned stays, in a fresh clone too, and other
bytes are refused by name.

A hub on loopback; everything that a user starts runs in this process, but for the stages themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.graph import source_lock
from flows.graph.intake import take_in
from flows.graph.params import Params, check
from flows.graph.params_file import ParamsError, parse
from flows.provenance import outside
from pipelines.sources import manifest
from pipelines.sources.manifest import SourceError
from pipelines.sources.opening import opened
from pipelines.sources.source_params import Reference, Source
from tests.corpora.made import corpus_of
from tests.flows.toy import ROOT
from tests.sources.hub import Hub

CARD = """---
configs:
- config_name: main
  default: true
  data_files:
  - {split: train, path: rows/train-*.jsonl}
  - {split: test, path: rows/held.jsonl}
---
Questions.
"""
ROWS = [{"question": f"what is {n} and one?", "answer": str(n + 1)} for n in range(8)]


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    """With a cache of its own that is empty. `another_machine` empties it again."""
    with Hub() as found:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
        yield found


@pytest.fixture
def another_machine(tmp_path, monkeypatch):
    def empty() -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "other-hf"))

    return empty


def data_set(folder: Path, rows: list[dict[str, str]] = ROWS) -> Path:
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "README.md").write_text(CARD)
    (folder / "rows/train-0.jsonl").write_text("".join(lines[:4]))
    (folder / "rows/train-1.jsonl").write_text("".join(lines[4:]))
    (folder / "rows/held.jsonl").write_text(
        json.dumps({"question": "wholly unlike the others", "answer": "7"}) + "\n"
    )
    (folder / "load.py").write_text("raise SystemExit('nobody runs this')\n")
    return folder


def model(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in {
        "config.json": b"{}",
        "model.safetensors": weights,
        "tokenizer.json": b"[]",
        "README.md": b"A model.",
    }.items():
        (folder / name).write_bytes(data)
    return folder


def taking(**base) -> Params:
    """params.yaml with a model from outside."""
    raw = parse((ROOT / "params.yaml").read_text())
    raw["base"]["common"] |= {"architecture": None, **base}
    return check(raw)


def with_data(**source) -> Params:
    """params.yaml with a corpus of rows from outside."""
    raw = parse((ROOT / "params.yaml").read_text())
    table = {"reader": "table", "splits": {"rl": "train", "validation": "test", "heldout": "test"}, **source}
    raw["corpus"]["exam"]["sources"] = {"rows": table}
    raw["sft"]["runs"]["sft"]["data"] = "rlvr"  # these rows demonstrate nothing
    return check(raw)


def project(folder: Path, params: Params) -> str:
    """What `whetstone plan` writes; the name of the one source."""
    folder.mkdir(exist_ok=True)
    source_lock.write(folder, params)
    (name,) = source_lock.read(folder)["taken"]
    return name


def run(folder: Path, params: Params, offline: bool = False) -> tuple[manifest.Manifest, str]:
    """What the stage source@NAME and the runner behind it do: the manifest and what was said."""
    name = project(folder, params)
    said = take_in(folder, name, offline)
    source_lock.write(folder, params)
    return manifest.read(folder / f"sources/{name}.json"), said


def clone(folder: Path, params: Params) -> Path:
    """A colleague's: what git brings, no manifests and no cache."""
    other = folder.with_name("clone")
    other.mkdir()
    (other / source_lock.SOURCE_LOCK).write_bytes((folder / source_lock.SOURCE_LOCK).read_bytes())
    return other


KINDS = pytest.mark.parametrize(
    ("id", "make", "params", "file"),
    [
        ("some/llm", model, taking(pretrained="some/llm"), "model.safetensors"),
        ("datasets/some/rows", data_set, with_data(id="some/rows"), "rows/train-1.jsonl"),
    ],
    ids=["model", "data"],
)


@KINDS
def test_a_moved_branch_is_said_and_not_followed(hub, tmp_path, another_machine, id, make, params, file):
    first = hub.commit(id, make(tmp_path / "files"))
    made, said = run(tmp_path / "here", params)
    assert made.source == {"hub": "some/" + id.rpartition("/")[2], "revision": "main", "commit": first}
    assert f"main is pinned to {first}" in said
    (tmp_path / "files" / file).write_bytes(b'{"question": "new", "answer": "1"}\n')
    second = hub.commit(id, tmp_path / "files")

    heard: list[str] = []
    with opened(made, offline=False, say=heard.append):
        pass
    assert heard == [
        f"{made.source['hub']}: main has moved to {second}; this project stays with {first}, which it is pinned to. "
        f"Write revision: {second} to take the new one"
    ]
    other = clone(tmp_path / "here", params)
    another_machine()
    again, said = run(other, params)
    assert again == made
    assert f"main has moved to {second} since" in said


@KINDS
@pytest.mark.parametrize("pinned", [False, True], ids=["branch", "commit"])
def test_other_bytes_under_the_same_commit_are_refused_by_name(
    hub, tmp_path, another_machine, id, make, params, file, pinned
):
    first = hub.commit(id, make(tmp_path / "files"))
    if pinned:
        params = (
            taking(pretrained="some/llm", revision=first)
            if id == "some/llm"
            else with_data(id="some/rows", revision=first)
        )
    made, _ = run(tmp_path / "here", params)
    assert (
        source_lock.read(tmp_path / "here")["pins"][Reference(*named(params)).name]["files"][file]
        == made.files[file].sha256
    )
    other = clone(tmp_path / "here", params)
    # an attack, or another hub of that name
    hub.commits[id][first][file] = hub.commits[id][first][file] + b"\n"
    another_machine()
    with pytest.raises(
        SourceError,
        match=rf"@{first[:12]} is not what was first taken in under this name: {file} has other bytes",
    ) as error:
        run(other, params)
    assert "delete" in str(error.value)
    assert not list(other.glob("sources/*.json"))

    hub.commits[id][first].pop(file)
    with pytest.raises(SourceError, match=rf"{file} (is not there|has other bytes)"):
        run(other, params)


def named(params: Params) -> tuple:
    (one,) = dict.fromkeys(source_lock.all_references(params))  # both base models name it
    return one.value, one.kind, one.revision


@KINDS
def test_bytes_that_change_in_the_cache_are_refused_by_name(
    hub, tmp_path, monkeypatch, id, make, params, file
):
    first = hub.commit(id, make(tmp_path / "files"))
    made, _ = run(tmp_path / "here", params)
    (snapshot,) = (tmp_path / "hf").rglob(f"snapshots/{first}")
    blob = (snapshot / file).resolve()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b" ")
    with pytest.raises(
        SourceError, match=rf"{file} is damaged: its bytes are not those that the hub's cache names"
    ):
        opened(made, offline=True).__enter__()
    # as the audit reads it
    row = next(row for row in outside.files(json.loads(made.text())) if row.path.endswith(file))
    assert (row.status, "bytes are not the recorded ones" in row.problem) == ("modified", True)
    # a cache whose names say nothing
    monkeypatch.setattr("pipelines.sources.places._check_blob", lambda path: None)
    with pytest.raises(SourceError, match=rf"some/\w+@{first[:12]}: {file} changed since it was taken in"):
        opened(made, offline=True).__enter__()


def test_a_clone_takes_the_pinned_files_and_no_others(hub, tmp_path, another_machine):
    """Whoever pinned first may have had a part of the files (as from_pretrained fetches them)."""
    params = taking(pretrained="some/llm")
    first = hub.commit("some/llm", model(tmp_path / "files"))
    made, _ = run(tmp_path / "here", params)
    hub.commits["some/llm"][first]["chat_template.jinja"] = b"not there before"
    other = clone(tmp_path / "here", params)
    another_machine()
    assert run(other, params)[0] == made


def test_pins_outlive_another_recipe_and_a_broken_file_is_said(hub, tmp_path):
    params, here = taking(pretrained="some/llm"), tmp_path / "here"
    hub.commit("some/llm", model(tmp_path / "files"))
    run(here, params)
    pins = source_lock.read(here)["pins"]
    # the default takes nothing from outside
    source_lock.write(here, check(parse((ROOT / "params.yaml").read_text())))
    assert source_lock.read(here) == {"taken": {}, "pins": pins}
    (here / source_lock.SOURCE_LOCK).write_text(
        "<<<<<<< HEAD\n" + (here / source_lock.SOURCE_LOCK).read_text()
    )
    with pytest.raises(ParamsError, match=r"source\.lock\.json cannot be read; settle its conflicts"):
        source_lock.write(here, params)


# -- data ----------------------------------------------------------------------------------------------------


def corpus(folder: Path, made: manifest.Manifest, **source):
    """Built from a manifest, as the corpus stage does."""

    @contextmanager
    def open_source(value, kind, revision=None):
        assert kind == "data"
        with opened(made, offline=True) as found:
            yield found

    value = {
        "raw": "raw",
        "sources": {"t": {"reader": "table", "splits": {"rl": "train", "heldout": "test"}, **source}},
        "validation_share": 0,
        "max_bad_rows": 0.9,
        "near": None,
        "decontaminate": {"ngram": None, "near": False},
        "tokenizer": {"kind": "char", "alphabet": "bytes"},
    }
    return corpus_of("t", value, folder, 0, folder / "tokenizer", open_source=open_source)


def test_rows_of_a_data_set_by_id(hub, tmp_path):
    hub.commit("datasets/some/rows", data_set(tmp_path / "files"))
    made, _ = run(tmp_path / "here", with_data(id="some/rows"))
    assert sorted(made.files) == ["README.md", "rows/held.jsonl", "rows/train-0.jsonl", "rows/train-1.jsonl"]
    for number, splits in enumerate(
        ({}, {"splits": {"rl": "rows/train-0.jsonl", "heldout": "rows/held.jsonl"}})
    ):
        (tmp_path / str(number)).mkdir()
        found = corpus(tmp_path / str(number), made, id="some/rows", **splits)
        assert {record.answer for record in found.records["rl"]} == {
            row["answer"] for row in (ROWS[:4] if splits else ROWS)
        }
        assert [record.answer for record in found.records["heldout"]] == ["7"]


def test_what_a_data_set_does_not_have_is_said(hub, tmp_path):
    first = hub.commit("datasets/some/rows", data_set(tmp_path / "files"))
    made, _ = run(tmp_path / "here", with_data(id="some/rows"))
    with pytest.raises(
        ValueError,
        match=rf"source t: the data set some/rows@{first[:12]} gives no split dev; name one of its splits",
    ) as no:
        corpus(tmp_path, made, id="some/rows", splits={"rl": "dev"})
    assert "whetstone-source" not in str(no.value)
    with pytest.raises(ValueError, match="gives no split train of the configuration other"):
        corpus(tmp_path, made, id="some/rows", config="other")


def test_bad_rows_of_an_outside_file_have_a_place_that_stays(tmp_path):
    """Not that of a temporary folder: metrics must not change with it."""
    files = data_set(tmp_path / "files")
    (files / "rows/train-0.jsonl").write_text('{"question": "one?", "answer": "1"}\n{"question": \n')
    made, _ = run(tmp_path / "here", with_data(id=str(files)))
    found = corpus(
        tmp_path, made, id=str(files), splits={"rl": "rows/train-0.jsonl", "heldout": "rows/held.jsonl"}
    )
    (bad,) = found.metrics["sources"]["t"]["first_bad"]
    assert bad.startswith(f"{files}/rows/train-0.jsonl:2: not JSON")


def test_data_from_a_folder_may_change_and_is_then_another(tmp_path):
    files = data_set(tmp_path / "files")
    params = with_data(id=str(files))
    made, _ = run(tmp_path / "here", params)
    assert source_lock.read(tmp_path / "here")["pins"] == {}
    (files / "rows/held.jsonl").write_text("{}\n")
    with pytest.raises(SourceError, match=r"rows/held\.jsonl changed since it was taken in"):
        opened(made, offline=True).__enter__()
    assert run(tmp_path / "here", params)[0] != made


@pytest.mark.parametrize(
    "settings",
    [
        {"id": {"path": "./rows"}},
        {"id": {"hub": "some/rows", "revision": "main", "files": ["rows/*"]}},
        {"id": {"package": "some-rows", "file": "rows.jsonl"}},
        {"id": "some/rows", "revision": "main", "config": "main"},
    ],
)
def test_where_data_may_come_from(settings):
    (one,) = source_lock.taken_by(with_data(**settings), ["corpus.exam"])
    assert one.kind == "data"
    assert "data" in one.name
    assert one.source(Path("nowhere")) == Source.model_validate(
        settings["id"] if isinstance(settings["id"], dict) else {"hub": "some/rows", "revision": "main"}
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"revision": "main"}, "revision and config belong to a dataset id"),
        ({"id": {"hub": "a/b"}, "revision": "main"}, "write it into id, beside hub"),
        ({"id": "./rows", "revision": "main"}, "revision belongs to a Hugging Face id"),
        ({"id": {"package": "a"}}, "package and file belong together"),
    ],
)
def test_where_it_may_not(settings, said):
    with pytest.raises(ParamsError, match=said):
        with_data(**settings)
