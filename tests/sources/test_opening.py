"""Taking a source in and opening it again: the digested bytes and no others, or an error that names the
file.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import pytest

from pipelines.sources import manifest
from pipelines.sources.manifest import SourceError
from pipelines.sources.opening import opened, take, unrecorded
from pipelines.sources.places import used
from pipelines.sources.source_params import Source
from tasks.content import file_digest


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "llm"
    (place / "deep").mkdir(parents=True)
    (place / ".git").mkdir()
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "merges.txt",
        "pytorch_model.bin",
        "deep/code.py",
        ".git/HEAD",
        ".x.swp",
    ):
        (place / name).write_bytes(name.encode())
    return place


def names(found) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(parent, name), found.folder)
        for parent, _, files in os.walk(found.folder)
        for name in files
    )


def test_files_that_count_by_kind(folder):
    model = take(Source(path=str(folder)), "model", offline=True)
    assert sorted(model.files) == [
        "config.json",
        "deep/code.py",
        "merges.txt",
        "model.safetensors",
        "tokenizer.json",
    ]
    tokenizer = take(Source(path=str(folder)), "tokenizer", offline=True)
    assert sorted(tokenizer.files) == ["config.json", "deep/code.py", "merges.txt", "tokenizer.json"]
    assert used(["a.gguf", "b.json"], "model", files=("*.gguf",)) == ("a.gguf",)
    assert used(["a.gguf"], "tokenizer") == ("a.gguf",)


def test_digests_are_of_the_bytes_and_dvcs(folder):
    found = take(Source(path=str(folder)), "model", offline=True).files["tokenizer.json"]
    assert found == (
        hashlib.sha256(b"tokenizer.json").hexdigest(),
        file_digest(folder / "tokenizer.json"),
        14,
    )


def test_a_manifest_survives_its_file(folder, tmp_path):
    made = take(Source(path=str(folder)), "model", offline=True)
    made.write(tmp_path / "sources/x.json")
    assert manifest.read(tmp_path / "sources/x.json") == made
    (tmp_path / "sources/x.json").write_text(made.text()[:-30])
    with pytest.raises(SourceError, match=r"x\.json cannot be read as a source's manifest"):
        manifest.read(tmp_path / "sources/x.json")
    with pytest.raises(SourceError, match=r"y\.json is missing"):
        manifest.read(tmp_path / "sources/y.json")


def test_only_what_was_digested_can_be_seen(folder):
    made = take(Source(path=str(folder)), "model", offline=True)
    (folder / "chat_template.jinja").write_text("new since")
    with opened(made, offline=True) as found:
        assert names(found) == sorted(made.files)
        assert (found.folder / "deep/code.py").read_text() == "deep/code.py"
    assert not found.folder.exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"model.safetensorz"), "changed"),  # as long as before
        (lambda path: path.write_bytes(b""), "changed"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_other_bytes_are_an_error(folder, damage, said):
    made = take(Source(path=str(folder)), "model", offline=True)
    damage(folder / "model.safetensors")
    with pytest.raises(
        SourceError, match=rf"{re.escape(str(folder))}: model\.safetensors {said} since it was taken in"
    ):
        opened(made, offline=True).__enter__()


def test_a_link_counts_by_what_it_points_to(folder, tmp_path):
    (tmp_path / "blob").write_bytes(b"weights")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    made = take(Source(path=str(folder)), "model", offline=True)
    (tmp_path / "blob").write_bytes(b"Weights")
    with pytest.raises(SourceError, match=r"model\.safetensors changed"):
        opened(made, offline=True).__enter__()
    (tmp_path / "blob").unlink()
    with pytest.raises(SourceError, match=r"model\.safetensors is a link to .*blob, which is not there"):
        take(Source(path=str(folder)), "model", offline=True)


def test_what_is_not_there(tmp_path):
    with pytest.raises(
        SourceError, match=r"gone is missing; bring it back, or correct the path in params\.yaml"
    ):
        take(Source(path=str(tmp_path / "gone")), "model", offline=True)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(SourceError, match=r"link is a link to .*gone, which is not there"):
        take(Source(path=str(tmp_path / "link")), "model", offline=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="empty holds no file that a tokenizer is made of"):
        take(Source(path=str(tmp_path / "empty")), "tokenizer", offline=True)
    with unrecorded(str(Path(__file__).parent), "model") as found:
        assert found.gguf is None


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """An installed package that brings a model's file."""
    site = tmp_path / "site"
    (site / "tiny_llm/data").mkdir(parents=True)
    (site / "tiny_llm-1.2.dist-info").mkdir()
    (site / "tiny_llm/data/tiny.gguf").write_bytes(b"GGUF")
    (site / "tiny_llm-1.2.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: tiny-llm\nVersion: 1.2\n"
    )
    (site / "tiny_llm-1.2.dist-info/RECORD").write_text(
        "tiny_llm/data/tiny.gguf,,\ntiny_llm/data/gone.gguf,,\n"
    )
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    return site


def test_a_file_of_an_installed_package(package):
    made = take(Source(package="tiny-llm", file="tiny.gguf"), "model", offline=True)
    assert made.source == {"package": "tiny-llm", "version": "1.2", "file": "tiny.gguf"}
    assert str(package) not in made.text()  # another machine has it elsewhere
    with opened(made, offline=True) as found:
        assert (found.gguf, found.shown) == ("tiny.gguf", "tiny-llm 1.2: tiny.gguf")
    (package / "tiny_llm/data/tiny.gguf").write_bytes(b"GGUG")
    with pytest.raises(SourceError, match=r"tiny-llm 1\.2: tiny\.gguf: tiny\.gguf changed"):
        opened(made, offline=True).__enter__()


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("tiny-llm", "other.gguf", "has no file other.gguf"),
        # as the metadata's reader lists it
        ("tiny-llm", "gone.gguf", "is missing; install the package again|has no file gone.gguf"),
        ("no-such-llm", "x", "is not installed; pip install no-such-llm"),
    ],
)
def test_a_package_without_it(package, name, file, said):
    with pytest.raises(SourceError, match=said):
        take(Source(package=name, file=file), "model", offline=True)
