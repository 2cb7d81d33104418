"""Versions of keyed packages: a minor one makes the stages stale that import the package, a patch one does
not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.toy import Project, method


def pretend(folder: Path, package: str, version: str) -> dict[str, str]:
    """An environment in which `package` is installed as `version`, as far as its metadata say."""
    site = folder / f"{package}-{version}"
    info = site / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return {"PYTHONPATH": str(site)}


@pytest.fixture
def trained(graph: Project, tmp_path: Path) -> Project:
    """The methods import torch, sft does not; they are trained under torch 9.8.7."""
    old = pretend(tmp_path, "torch", "9.8.7")
    graph.bring("rl", **old)
    assert graph.plan("rl", **old) == {}
    return graph


def test_a_minor_version_runs_the_stages_that_import_the_package(trained: Project, tmp_path: Path):
    new = pretend(tmp_path, "torch", "9.9.0")
    assert set(trained.plan(**new)) == method("grpo") | method("other")
    assert trained.reasons("rl@grpo", **new) == ["environment torch 9.8 -> 9.9"]


def test_a_patch_version_or_a_local_build_runs_nothing(trained: Project, tmp_path: Path):
    assert trained.plan("rl", **pretend(tmp_path, "torch", "9.8.8")) == {}
    assert trained.plan("rl", **pretend(tmp_path, "torch", "9.8.8+cpu")) == {}


def test_a_package_that_is_not_keyed_runs_nothing(graph: Project, tmp_path: Path):
    assert graph.plan(**pretend(tmp_path, "numpy", "99.1.0")) == {}


def test_keying_another_package_touches_only_its_importers(graph: Project, tmp_path: Path):
    graph.set("identity.environment", ["torch", "transformers", "deepspeed", "pydantic"])
    planned = graph.plan()
    assert "sft@sft" in planned  # its parameter record is made with pydantic
    assert graph.reasons("sft@sft")[0].startswith("environment pydantic unused -> ")
