"""Content ids from bytes: equal to DVC's own for any tree, and damage is found wherever it hides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.provenance.content import (
    CACHED,
    CHANGED,
    CORRUPT,
    MISSING,
    OK,
    Contents,
    file_differences,
    remember_raw,
)
from tasks.content import content_id, folder_digest
from tests.flows import toy


@pytest.fixture
def dvc(tmp_path: Path) -> Path:
    """A DVC repository without git."""
    folder = tmp_path / "project"
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"],
        cwd=folder,
        env=toy.environment(tmp_path),
        check=True,
    )
    return folder


def add(folder: Path, name: str) -> str:
    """`dvc add`; the id that DVC gives."""
    subprocess.run(
        [sys.executable, "-m", "dvc", "add", "-q", name],
        cwd=folder,
        env=toy.environment(folder.parent),
        check=True,
    )
    return yaml.safe_load((folder / f"{name}.dvc").read_text())["outs"][0]["md5"]


def test_ids_equal_dvc_for_odd_names_empty_folders_links_and_ignored_files(dvc: Path) -> None:
    data = dvc / "data"
    for name in ("b.txt", "a/z.txt", "a/ä ö.txt", "a.d/x", "a-b/y", "deep/er/still/0", "__pycache__/x.pyc"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(name.encode() * 3)
    (data / "empty").mkdir()
    (data / "nothing").write_bytes(b"")
    (dvc / "elsewhere").write_text("linked")
    os.symlink(dvc / "elsewhere", data / "link")
    (dvc / ".dvcignore").write_text("__pycache__\n")
    known = add(dvc, "data")
    found = Contents(dvc).at("data")
    assert found is not None
    assert found[0] == known
    assert content_id(data)[0] != known  # the ignored file counts where no .dvcignore is asked
    (dvc / "file").write_bytes(b"one file")
    assert Contents(dvc).at("file") == (add(dvc, "file"), None)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("ab./é", min_size=1, max_size=6),
        st.text("0123456789abcdef", min_size=32, max_size=32),
        max_size=6,
    )
)
def test_folder_ids_do_not_depend_on_order_and_tell_every_difference(files: dict[str, str]) -> None:
    shuffled = dict(reversed(list(files.items())))
    assert folder_digest(files) == folder_digest(shuffled)
    for name in files:
        other = {**files, name: "f" * 31 + ("0" if files[name].endswith("1") else "1")}
        assert (folder_digest(other) == folder_digest(files)) == (other == files)
        without = {key: value for key, value in files.items() if key != name}
        assert folder_digest(without) != folder_digest(files)
        assert file_differences(files, without) == {name: "gone"}
        assert file_differences(without, files) == {name: "new"}


def test_verdicts_of_workspace_and_cache(dvc: Path) -> None:
    data = dvc / "data"
    data.mkdir()
    (data / "one").write_text("1")
    (data / "two").write_text("2")
    known = add(dvc, "data")
    assert Contents(dvc).verdict("data", known, belongs=True).status == OK

    (data / "two").unlink()
    (data / "two").write_text("3")
    changed = Contents(dvc).verdict("data", known, belongs=True)
    assert (changed.status, dict(changed.files)) == (CHANGED, {"two": "changed"})
    # a newer result lies there: the cache answers
    assert Contents(dvc).verdict("data", known, belongs=False).status == CACHED

    target = dvc / "again"
    Contents(dvc).materialise("data", known, target)
    assert content_id(target)[0] == known

    (data / "two").unlink()
    (data / "one").unlink()
    data.rmdir()
    contents = Contents(dvc)
    listing = contents.files(known)
    assert listing is not None
    broken = contents.object(listing["two"])
    broken.chmod(0o644)
    # what a writer through a hard link does; DVC's state would not notice a restored time of change
    broken.write_text("x")
    damaged = Contents(dvc).verdict("data", known, belongs=True)
    assert (damaged.status, dict(damaged.files)) == (CORRUPT, {"two": "corrupt"})
    with pytest.raises(FileNotFoundError, match="dvc fetch"):
        Contents(dvc).materialise("data", known, dvc / "third")
    contents.object(known).unlink()
    assert Contents(dvc).verdict("data", known, belongs=True).status == MISSING


def test_a_remembered_listing_names_the_changed_raw_file(dvc: Path) -> None:
    raw = dvc / "raw"
    raw.mkdir()
    (raw / "rows").write_text("a\n")
    (raw / "more").write_text("b\n")
    known = content_id(raw)[0]
    remember_raw(dvc, {"raw": known})
    (raw / "rows").write_text("A\n")
    assert dict(Contents(dvc).verdict("raw", known, belongs=True).files) == {"rows": "changed"}
    assert not Contents(dvc).remember("raw", "0" * 32 + ".dir")  # what is not there cannot be kept
