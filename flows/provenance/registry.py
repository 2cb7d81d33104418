"""Comparison of MLflow's registry with the records of the models in an ancestry. MLflow is loaded only where
a store exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flows.graph.stage_records import Entry, mapping
from flows.provenance.subject import CHECKPOINT, VERSION
from tasks.tracking import Tracking, model_name
from tasks.tracking_records import flat

if TYPE_CHECKING:
    from flows.provenance.lineage import Ancestry

LINK = ("stage", "stage.key", "whetstone.run")  # what a version and the run that made it both say


def disagreements(ancestry: Ancestry) -> Iterator[tuple[str, str]]:
    """Yields (version or path, what is wrong) for each registered version of a model in the ancestry."""
    tracking = Tracking(ancestry.contents.root)
    if not tracking.store.exists:
        return
    for entry in ancestry.entries:
        for path, digest in entry.outs.items():
            if path.endswith("/model"):
                rows = tracking.versions(model_name(path)) or []
                yield from _model(tracking, rows, digest, ancestry.record(entry), entry)
    yield from _subject(ancestry, tracking)


def _model(
    tracking: Tracking, rows: list[dict[str, Any]], expected: str, record: Mapping[str, Any], entry: Entry
) -> Iterator[tuple[str, str]]:
    """Yields the problems of one model's versions: each is compared with itself, with the run that made it,
    and with the model's record.
    """
    flow_run, key = mapping(record.get("run")).get("flow_run"), record.get("key")
    for row in rows:
        name, tags = f"{row['name']}:{row['version']}", row["tags"]
        if not row["source"].startswith(f"dvc://{row['digest']}/"):
            yield (
                name,
                f"the registry disagrees with itself: source {row['source']}, tag dvc.md5 {row['digest']}",
            )
        same_run = flow_run and tags.get("whetstone.run") == flow_run and tags.get("stage.key") == key
        if same_run and row["digest"] != expected:
            yield (
                name,
                f"the registry says that run {flow_run} made {row['digest']}, the model's record says "
                f"{expected}",
            )
        if row["digest"] == expected and tags.get("stage", entry.stage) != entry.stage:
            yield (
                name,
                f"the registry says that stage {tags['stage']} made {expected}, the model's record says "
                f"{entry.stage}",
            )
        if (
            row["digest"] == expected
            and flow_run
            and tags.get("whetstone.run") == flow_run
            and tags.get("stage.key") != key
        ):
            yield (
                name,
                f"the registry says stage.key {tags.get('stage.key')}, the model's record of run {flow_run} "
                f"says {key}",
            )
        logged = (
            tracking.run_facts(row["run_id"]) if row["run_id"] and row["digest"] == expected else None
        ) or {}
        if logged:
            yield from (
                (name, text)
                for text in _run(logged, tags, record if logged["tags"].get("stage.key") == key else {})
            )


def _run(
    logged: Mapping[str, Mapping[str, str]], tags: Mapping[str, str], record: Mapping[str, Any]
) -> Iterator[str]:
    """Yields the differences of the MLflow run that a version names from the version's tags and from the
    record of the same key.
    """
    for name in LINK:
        if name in tags and logged["tags"].get(name) != tags[name]:
            yield f"the version says {name} {tags[name]}, its MLflow run says {logged['tags'].get(name)}"
    if not record:
        return
    for title, logged_values, recorded in (
        (
            "parameter",
            logged["params"],
            {name: str(value)[:6000] for name, value in flat(mapping(record.get("params"))).items()},
        ),
        (
            "input",
            logged["inputs"],
            {path[-500:]: str(digest)[:36] for path, digest in mapping(record.get("inputs")).items()},
        ),
    ):
        for name in sorted({*logged_values, *recorded} if logged_values else {}):
            if logged_values.get(name) != recorded.get(name):
                yield (
                    f"its MLflow run says {title} {name} {logged_values.get(name)}, "
                    f"the model's record says {recorded.get(name)}"
                )


def _subject(ancestry: Ancestry, tracking: Tracking) -> Iterator[tuple[str, str]]:
    """Yields a problem where the subject's model is registered but none of the versions has the subject's
    bytes.
    """
    path, content = ancestry.path or ancestry.subject.path, ancestry.content
    if ancestry.subject.kind not in (CHECKPOINT, VERSION) or not path or not path.endswith("/model"):
        return
    rows = tracking.versions(model_name(path)) or []
    if (
        rows
        and content
        and content[0] not in {row["digest"] for row in rows}
        and ancestry.subject.kind == CHECKPOINT
    ):
        newest = rows[-1]
        yield (
            ancestry.shown(ancestry.subject.place),
            f"the registry knows no version of {newest['name']} with these bytes ({content[0]}); its newest "
            f"is {newest['version']} with "
            f"{newest['digest']}. Restore the files with `dvc checkout`, or register them with `whetstone "
            f"run`",
        )
