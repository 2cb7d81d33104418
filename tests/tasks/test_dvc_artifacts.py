"""MLflow reads registered models out of DVC's cache: verified, copied, never written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.content import dvc_object, file_digest, folder_digest, listing_text
from tasks.dvc_artifacts import DvcArtifactRepository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DvcArtifactRepository:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[cache]\n    dir = ../store\n")
    files = {}
    for name, text in {"weights.bin": "w", "sub/config.json": "{}"}.items():
        source = tmp_path / "source"
        source.write_text(text)
        files[name] = file_digest(source)
        target = dvc_object(tmp_path / "store", files[name])
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    digest = folder_digest(files)
    listing = dvc_object(tmp_path / "store", digest)
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text(listing_text(files))
    monkeypatch.setenv("WHETSTONE_ROOT", str(tmp_path))
    return DvcArtifactRepository(f"dvc://{digest}/models/sft/model")


def test_a_model_is_listed_and_downloaded(repository: DvcArtifactRepository, tmp_path: Path) -> None:
    assert [(row.path, row.is_dir, row.file_size) for row in repository.list_artifacts()] == [
        ("sub", True, None),
        ("weights.bin", False, 1),
    ]
    assert [row.path for row in repository.list_artifacts("sub")] == ["sub/config.json"]
    (tmp_path / "out").mkdir()
    folder = Path(repository.download_artifacts("", dst_path=str(tmp_path / "out")))
    assert (folder / "weights.bin").read_text() == "w"
    assert (folder / "sub/config.json").read_text() == "{}"
    (folder / "weights.bin").write_text("edited by its new owner")  # and the cache does not see it
    assert repository._object(repository._files()["weights.bin"]).read_text() == "w"


def test_damage_and_absence_are_said(repository: DvcArtifactRepository, tmp_path: Path) -> None:
    broken = dvc_object(repository.cache, repository._files()["weights.bin"])
    broken.write_text("x")
    with pytest.raises(OSError, match="corrupt"):
        repository._download_file("weights.bin", str(tmp_path / "w"))
    broken.unlink()
    with pytest.raises(FileNotFoundError, match="dvc fetch"):
        repository._download_file("weights.bin", str(tmp_path / "w"))
    with pytest.raises(FileNotFoundError, match="holds no other"):
        repository._download_file("other", str(tmp_path / "w"))
    with pytest.raises(PermissionError, match="DVC only"):
        repository.log_artifact("file")
    assert not (tmp_path / "w").exists()
