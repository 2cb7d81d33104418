"""The audit refuses every tamper of the catalogue and names it; the plan keeps no stage that was falsified;
harmless changes pass.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from flows.graph import plan
from flows.graph.params_file import ParamsError
from flows.provenance.audit import audited
from flows.provenance.lineage import Ancestry
from tests.flows import harmless, tampers, toy
from tests.flows.workbench import Workbench

SUBJECT = "reports"  # made of everything


@pytest.fixture
def bench(run_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    folder = tmp_path / "project"
    shutil.copytree(run_once, folder, symlinks=True)
    for name, value in toy.Project(folder).env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return Workbench(folder)


def found(bench: Workbench, registry: bool = False, subject: str = SUBJECT) -> tuple[str, bool]:
    """(what the audit says, whether it accepts)."""
    with nullcontext() if registry else bench.without_registry():
        ancestry = Ancestry(bench.root, str(bench.root / subject))
        problems = audited(ancestry)
    unverified = "".join(f"\n{row['stage']} is not verified" for row in ancestry.findings.unverified)
    return tampers.said(problems) + unverified, not problems and not ancestry.findings.unverified


def rows(bench: Workbench) -> dict[str, plan.PlanRow]:
    return {row.stage: row for row in plan.make(bench.root).rows}


def test_every_tamper_is_refused_and_named(bench: Workbench) -> None:
    assert found(bench, registry=True) == ("", True)
    catalogue = tampers.catalogue(bench)
    assert len(catalogue) >= 200, Counter(tamper.name.split()[0] for tamper in catalogue)
    wrong = []
    for tamper in catalogue:
        tamper.apply(bench)
        text, accepted = found(bench, tamper.registry)
        if accepted or tamper.named not in text:
            wrong.append(
                f"{tamper.name}: {'accepted' if accepted else f'{tamper.named} is not named in: {text[:300]}'}"
            )
        bench.undo()
    assert not wrong, f"{len(wrong)} of {len(catalogue)}:\n" + "\n".join(wrong)
    assert found(bench, registry=True) == ("", True)


def test_an_entry_that_was_edited_with_params_yaml_is_stale(bench: Workbench) -> None:
    """To DVC itself such a stage is fresh: parameters, inputs and outputs are what dvc.lock says."""
    lock = bench.lock()["stages"]
    for stage, key, section, rest, value in (
        ("corpus@exam", "identity.seed", "identity.seed", "", 7),
        ("base@base", "identity.seed", "identity.seed", "", 7),
        ("sft@sft", "sft.common.steps", "sft.runs.sft", "steps", 77),
        ("evaluate@sft", "evaluate.common.samples", "evaluate.runs.sft", "samples", 3),
        ("report", "report.title", "report", "title", "another"),
    ):
        assert section in lock[stage]["params"]["code.lock.json"][stage]["settings"]

        def edit(
            row: dict[str, Any],
            stage: str = stage,
            section: str = section,
            rest: str = rest,
            value: Any = value,
        ) -> None:
            params = row["params"]["code.lock.json"][stage]["settings"]
            params[section] = {**params[section], rest: value} if rest else value

        bench.edit_lock(stage, edit)
        try:
            bench.edit_params({key: value})
            row = rows(bench)[stage]
        except ParamsError:
            row = None
        if row:
            assert row.action in ("run", "restore"), (stage, row)
            assert any("the records disagree" in reason and str(value) in reason for reason in row.reasons), (
                row.reasons
            )
        text, accepted = found(bench)
        assert not accepted
        assert f"dvc.lock: {stage}" in text, text
        bench.undo()


def test_harmless_changes_are_accepted(bench: Workbench) -> None:
    changes = harmless.catalogue(bench)
    assert len(changes) >= 50

    def verdict() -> str:
        text, accepted = found(bench)
        stale = {name: row.reasons for name, row in rows(bench).items() if row.action != "keep"}
        return "" if accepted and not stale else f"{text[:300]} {stale}"

    wrong: dict[str, str] = {}
    for group in [changes[start : start + 8] for start in range(0, len(changes), 8)]:
        for _, change in group:
            change(bench)
        together = verdict()
        bench.undo()
        for name, change in group if together else ():  # which of them was it?
            change(bench)
            wrong[name] = verdict()
            bench.undo()
        assert not together or any(wrong.values()), together
    assert not any(wrong.values()), "\n".join(f"{name}: {text}" for name, text in wrong.items() if text)


def test_a_checkpoint_that_is_a_link_to_its_sibling(bench: Workbench) -> None:
    """The name decides what is asked about, not what a link leads to."""
    assert found(bench, subject="models/grpo") == ("", True)
    for path in ("models/grpo", "models/grpo/model"):
        bench.link(path, bench.root / path.replace("grpo", "sft@sft"))
        text, accepted = found(bench, subject="models/grpo")
        assert not accepted
        assert "models/grpo" in text
        bench.undo()
