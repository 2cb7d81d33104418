"""What a value in params.yaml names: a path, a Hugging Face id, a package's file; and which stages of the
graph take it.
"""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from flows.graph import source_lock
from flows.graph.params import check
from flows.graph.params_file import parse
from pipelines.corpora.exams.exams_params import ExamsParams
from pipelines.corpora.preferences.preference_set_params import PreferencesParams
from pipelines.models.base_params import BaseParams
from pipelines.models.tokenizer_params import PretrainedTokenizer
from pipelines.sources.source_params import Reference, Source, references
from tests.flows.toy import ROOT

PARAMS = (ROOT / "params.yaml").read_text()


def changed(**settings):
    """params.yaml with dotted keys changed, checked."""
    raw = parse(PARAMS)
    for key, value in settings.items():
        *parents, last = key.split("__")
        target = raw
        for part in parents:
            target = target.setdefault(part, {})
        target[last] = value
    return check(raw)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("owner/name", False),
        ("name", False),
        ("Qwen/Qwen2.5-7B_x", False),
        ("here/model", True),
        ("here/model/", True),
        ("./owner/name", True),
        ("../owner/name", True),
        ("/owner/name", True),
        ("~/name", True),
        ("a/b/c", True),
        ("gone.gguf", True),
        ("owner/gone.gguf", True),
        ("-x/y", True),
    ],
)
def test_a_string_is_a_path_or_an_id(tmp_path, text, path):
    (tmp_path / "here/model").mkdir(parents=True)
    source = Reference(text, "model").source(tmp_path)
    assert (source.path, source.hub) == ((text, None) if path else (None, text))


def test_what_was_a_folder_is_never_fetched_from_strangers(tmp_path):
    assert Reference("owner/name", "model").source(tmp_path, was_path=True).path == "owner/name"
    params = changed(base__common__architecture=None, base__common__pretrained="owner/name")
    (tmp_path / "owner/name").mkdir(parents=True)
    source_lock.write(tmp_path, params)
    (tmp_path / "owner/name").rmdir()
    source_lock.write(tmp_path, params)
    (entry,) = source_lock.read(tmp_path)["taken"].values()
    assert entry == {"path": "owner/name", "kind": "model", "source": {"path": "owner/name"}}


def test_names_tell_sources_apart_and_are_names_of_stages():
    one = Reference("some/llm", "model")
    others = [
        Reference("some/llm", "tokenizer"),
        Reference("some/llm", "model", "main"),
        Reference("some-llm", "model"),
        Reference(Source(hub="some/llm"), "model"),
        Reference(Source(path="some/llm"), "model"),
        Reference(Source(package="llm", file="x"), "model"),
        Reference(Source(hub="some/llm", files=("a.gguf",)), "model"),
        Reference("../моя модель", "model"),
    ]
    names = [reference.name for reference in (one, *others)]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() and name.isascii() for name in names)
    assert one.name == Reference("some/llm", "model").name


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"path": "a", "hub": "b"},
        {"path": "a", "revision": "x"},
        {"package": "a"},
        {"file": "a"},
        {"hub": "a/b/c"},
        {"hub": "x", "file": "y"},
    ],
)
def test_a_source_is_one_thing(wrong):
    with pytest.raises(ValidationError):
        Source.model_validate(wrong)


def test_a_revision_belongs_to_an_id():
    with pytest.raises(ValidationError, match="revision belongs to a Hugging Face id"):
        BaseParams(pretrained="./folder", revision="main")
    with pytest.raises(ValidationError, match="write it into id, beside hub"):
        PretrainedTokenizer(kind="pretrained", id={"hub": "a/b"}, revision="main")
    assert BaseParams(pretrained={"hub": "a/b", "revision": "main"}).pretrained == Source(
        hub="a/b", revision="main"
    )


def test_the_embedded_default_takes_nothing_from_outside():
    assert list(source_lock.all_references(changed())) == []
    assert source_lock.text_of(source_lock.make(ROOT, changed())) == (ROOT / "source.lock.json").read_text()


def test_every_place_that_names_a_model_or_tokenizer_is_found():
    judge = {"kind": "chat_verifier", "model": "some/judge"}
    found = {
        "base.runs.base": changed(
            base__runs__base__architecture=None,
            base__runs__base__pretrained="m",
            base__runs__base__data="none",
            base__runs__base__tokenizer=None,
        ),
        "base.runs.rlvr_base": changed(
            base__runs__rlvr_base__data="none",
            base__runs__rlvr_base__tokenizer={"kind": "pretrained", "id": "m"},
        ),
        "rl.runs.grpo": changed(rl__methods__grpo__reward=judge),
        "rl.runs.rlvr_rule": changed(rl__runs__rlvr_rule__reward=judge),
        "judgements.explored": changed(judgements__explored__source__policy__reward=judge),
        "wins.reward": changed(wins__reward__judge={"kind": "prompted", "model": "m"}),
    }
    for section, params in found.items():
        (reference,) = source_lock.taken_by(params, [section])
        assert list(dict.fromkeys(source_lock.all_references(params))) == [reference], section


def test_presets_without_a_stage_take_nothing():
    params = changed(rl__methods__dapo__reward={"kind": "chat_verifier", "model": "some/judge"})
    assert "dapo" not in params.rl.runs
    assert list(source_lock.all_references(params)) == []


def test_equal_values_are_one_source():
    params = changed(
        base__common__architecture=None,
        base__common__pretrained="m",
    )
    assert len({reference.name for reference in references(list(params.base.runs.values()))}) == 1


@pytest.mark.parametrize(
    "record",
    [
        ExamsParams(origin="raw", source={"kind": "multi_subject", "id": "some/rows"}),
        PreferencesParams(
            origin="raw", source={"kind": "trl", "id": "some/rows", "splits": {"train": "train"}}
        ),
        PreferencesParams(
            origin="raw",
            source={"kind": "code_samples", "layout": "mbpp", "id": "some/rows", "problems": "test"},
        ),
    ],
    ids=["exam", "pairs", "programs"],
)
def test_data_sets_are_found_in_what_a_seam_chooses(record):
    assert [(one.value, one.kind) for one in references(record)] == [("some/rows", "data")]
