"""A new choice is one file: adding it makes nothing stale, at any seam, and what names it holds its digest."""

from __future__ import annotations

import json
from pathlib import Path

from tests import clone

# In the clone, whose own packages it imports: seam by seam, a new file; then settings that name the new files.
SCRIPT = '''
import json
import sys
import typing
from pathlib import Path

import yaml

from flows.graph import codelock, dvc_api
from flows.graph.params import load, params_record
from pydantic import BaseModel

from pipelines.settings import Seam

ROOT = Path.cwd()


def digests():
    with dvc_api.open_repo(ROOT) as repo:
        return codelock.digests(ROOT, dvc_api.declared(repo), load(ROOT))


def seams(record, seen):
    """Every seam below a record, also in the options of its choices."""
    if record not in seen:
        seen.add(record)
        for field in record.model_fields.values():
            yield from marks(typing.Annotated[field.annotation, *field.metadata, ...], seen)


def marks(annotation, seen):
    for mark in getattr(annotation, "__metadata__", ()):
        if isinstance(mark, Seam):
            yield mark
            for name in mark.names():
                yield from seams(mark.options(name), seen)
    for argument in typing.get_args(annotation):
        yield from marks(argument, seen)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from seams(annotation, seen)


def laid(below, above):
    both = isinstance(below, dict) and isinstance(above, dict)
    return {**below, **{key: laid(below.get(key), value) for key, value in above.items()}} if both else above


def add(seam):
    """A file of the folder that offers what the seam asks for."""
    name = f"added_{seam.function or 'module'}"
    path = ROOT.joinpath(*seam.package.split(".")) / f"{name}.py"
    arguments = seam.interface.partition("(")[2] or "text, answer, finished)"
    path.write_text(f"def {seam.function or 'check'}({arguments}:\\n    raise NotImplementedError\\n")
    return name


first, report = digests(), {}
every = {(seam.package, seam.interface): seam for seam in seams(params_record(), set())}
for _, seam in sorted(every.items()):
    name = add(seam)
    changed = [stage for stage, entry in digests().items() if entry != first.get(stage)]
    names = sorted(seam.names())
    report[f"{seam.package} {seam.interface}"] = {"names": names, "name": name, "changed": changed}
settings = ROOT / "params.yaml"
settings.write_text(yaml.safe_dump(laid(yaml.safe_load(settings.read_text()), json.loads(sys.argv[1]))))
named = digests()
changed = sorted(stage for stage in named if named[stage] != first.get(stage))
held = {stage: sorted(name for name in entry["modules"] if ".added_" in name) for stage, entry in named.items()}
print(json.dumps({"added": report, "changed": changed, "held": held}))
'''
RUN = {"method": "grpo", "start": "sft", "data": "exam", "judge": "none"}
SETTINGS = {
    "corpus": {
        "exam": {
            "sources": {
                "a": {"reader": "added_read", "files": {"train": "lexicon.jsonl"}},
                "b": {"reader": "code", "layout": "added_convert", "splits": {"train": "lexicon.jsonl"}},
                "c": {
                    "reader": "dialogues",
                    "layout": "added_preference",
                    "splits": {"train": "lexicon.jsonl"},
                },
            }
        }
    },
    "rl": {
        "runs": {
            "reward": {**RUN, "reward": "added_module", "checker": "final_answer"},
            "credit": {**RUN, "credit": "added_assign"},
            "mask": {**RUN, "mask": "added_keep"},
            "objective": {**RUN, "objective": "added_policy_loss"},
        }
    },
}
HELD = {
    "rl@reward": ["pipelines.rewards.added_module"],
    "rl@credit": ["pipelines.credit.added_assign"],
    "rl@mask": ["pipelines.objectives.masks.added_keep"],
    "rl@objective": ["pipelines.objectives.added_policy_loss"],
    "corpus@exam": [
        "pipelines.corpora.code.added_convert",
        "pipelines.corpora.pairs.added_preference",
        "pipelines.corpora.readers.added_read",
    ],
}


def test_a_new_file_is_a_choice_at_its_seam_and_code_of_what_names_it_alone(tmp_path: Path) -> None:
    project = clone.make(tmp_path / "project")
    done = project.python_call("-c", SCRIPT, json.dumps(SETTINGS))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert len(result["added"]) > 10
    for seam, row in result["added"].items():
        assert row["name"] in row["names"], seam
        assert row["changed"] == [], f"a new file at {seam} makes stale: {row['changed']}"
    # and what is below them only where their results differ; the report counts runs by name
    assert result["changed"] == sorted({*HELD, "report"})
    assert {stage: held for stage, held in result["held"].items() if held} == HELD
