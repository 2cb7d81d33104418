"""Typed records of sections, as dvc.yaml's stages name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.graph.params import check, params_record
from flows.graph.params_file import ParamsError, read_yaml
from flows.graph.section_records import records, steps
from tasks.sft_params import SftRun
from tests.flows.toy import ROOT

SFT = '"sft.runs.${key}": tasks.sft_params.SftRun'


def declared(folder: Path, was: str = "", now: str = "") -> Path:
    """A folder with the project's dvc.yaml, in which `now` stands for `was`."""
    text = (ROOT / "dvc.yaml").read_text()
    assert was in text
    (folder / "dvc.yaml").write_text(text.replace(was, now) if was else text)
    (folder / "presets.yaml").write_text((ROOT / "presets.yaml").read_text())
    return folder


def test_a_record_stands_where_the_stage_names_it(tmp_path: Path) -> None:
    root = declared(tmp_path)
    assert records(root)[steps("sft.runs.${key}")] is SftRun
    assert params_record(root) is params_record(root)
    assert set(params_record(root).model_fields) >= {"identity", "execution", "sft", "rl", "report"}


def test_a_section_that_no_stage_describes_may_hold_anything(tmp_path: Path) -> None:
    record = '"dpo_theory.${key}": pipelines.evaluation.theory.theory_params.TheoryParams'
    root = declared(tmp_path, f"        records: {{{record}}}\n", "")
    raw = read_yaml(ROOT / "params.yaml")
    raw["dpo_theory"]["worlds"]["whatever"] = 1
    assert check(raw, root=root).section("dpo_theory.worlds")["whatever"] == 1
    with pytest.raises(ParamsError, match=r"dpo_theory\.worlds\.whatever: unknown"):
        check(raw, root=ROOT)


@pytest.mark.parametrize(
    "name", ["tasks.sft_params.SftRum", "tasks.sft_parms.SftRun", "SftRun", "tasks.sft_params", "json.JSONDecoder", "1"]
)  # fmt: skip
def test_a_name_that_is_no_record_is_refused_with_the_stage(tmp_path: Path, name: str) -> None:
    root = declared(tmp_path, SFT, f'"sft.runs.${{key}}": {name}')
    with pytest.raises(ParamsError, match=rf"dvc\.yaml: sft: meta\.records: '{name}' is no typed record"):
        check(read_yaml(ROOT / "params.yaml"), root=root)


def test_records_that_are_no_mapping_are_refused_with_the_stage(tmp_path: Path) -> None:
    root = declared(tmp_path, f"records: {{{SFT}}}", "records: [tasks.sft_params.SftRun]")
    with pytest.raises(ParamsError, match=r"dvc\.yaml: sft: meta\.records: a mapping of sections"):
        check(read_yaml(ROOT / "params.yaml"), root=root)
