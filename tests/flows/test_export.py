"""`whetstone export`: what comes out is the model, whole or not at all; its card says what is recorded;
nothing is sent without a repository and a token, and the token is never shown.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.export.card import CardFacts, card
from flows.export.licences import NOT_STATED, Licences
from flows.graph.params_file import PARAMS, read_yaml
from flows.provenance.evaluations import Evaluation
from pipelines.inference.checkpoint import load
from pipelines.models import policy
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import PretrainedTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens
from pipelines.rollouts.rollout_params import SamplingParams
from pipelines.settings import ROOT
from tests.flows.toy import Project
from tests.inference.made import chatty, plain
from tests.sources import made
from tests.tiny import CPU

GREEDY = SamplingParams(temperature=0, max_new_tokens=6)
STAND_IN = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from tests.sources.made import gguf_file
folder, target = Path(sys.argv[1]), Path(sys.argv[sys.argv.index("--outfile") + 1])
assert (folder / "chat_template.jinja").is_file()
if {damaged}:
    state = load_file(folder / "model.safetensors")
    state["model.norm.weight"] += 1
    (folder / "model.safetensors").unlink()
    save_file(state, folder / "model.safetensors", metadata={{"format": "pt"}})
gguf_file(target, folder)
"""


def export(*words: str) -> Result:
    return CliRunner().invoke(app, ["export", *words], catch_exceptions=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A solver, a talker, and a Llama whose tokenizer a GGUF file can hold; beside the first a
    lineage.json.
    """
    folder = tmp_path_factory.mktemp("export")
    plain(folder / "solver")
    (folder / "solver/lineage.json").write_text('{"stage": "sft"}\n')
    chatty(folder / "talker")
    hub = made.model_folder(folder / "hub")
    tokens = make_tokens(
        PretrainedTokenizer(kind="pretrained", id=str(hub)),
        TemplateParams(prompt="{query}="),
        [],
        folder / "tokens",
    )
    from transformers import AutoModelForCausalLM

    policy.save(AutoModelForCausalLM.from_pretrained(hub), tokens, folder / "llm/model")
    return folder


@pytest.fixture(autouse=True)
def _inside(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models)


@pytest.mark.parametrize("name", ["solver", "talker"])
def test_a_folder_is_the_model_for_transformers_too(models: Path, tmp_path: Path, name: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = export(name, "--to", "folder", "-o", str(tmp_path / "out"), "--license", "mit")
    assert done.exit_code == 0, done.output
    before, after = load(models / name / "model", CPU), load(tmp_path / "out", CPU)
    assert after.generate(["3+4"], GREEDY) == before.generate(["3+4"], GREEDY)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")("3+4", return_tensors="pt").input_ids
    assert theirs(ids).logits.equal(before.model(input_ids=ids).logits)
    text = (tmp_path / "out/README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "mit"
    assert (tmp_path / "out/lineage.json").exists() == (name == "solver")
    again = export(name, "--to", "folder", "-o", str(tmp_path / "out"))
    assert (again.exit_code, "exists already" in again.output) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def facts(models: Path, **changes: Any) -> CardFacts:
    figures = {"n": 40, "right": 30, "errors": 0, "accuracy": 0.75, "low": 0.598, "high": 0.858}
    nodes = [
        {"stage": "base@llm", "outs": {"models/llm/model": "1"}, "seed": 0, "git": {"commit": None},
         "params": {"base.runs.llm": {"pretrained": {"hub": "owner/base"}, "data": "none"}}},
        {"stage": "rl@grpo", "outs": {"models/grpo/model": "2"}, "seed": 3, "git": {"commit": "abc", "dirty": True},
         "params": {"rl.runs.grpo": {"method": "grpo", "start": "llm", "optimiser": {"learning_rate": 1e-6}}}},
    ]  # fmt: skip
    raw = [{"path": "raw/shop/train.jsonl", "read_by": "corpus@shop"}]
    value: dict[str, Any] = {
        "name": "grpo", "folder": models / "solver/model", "tokens": Tokens.load(models / "solver/model"),
        "licences": Licences(models, {"owner/base": "mit"}), "ancestry": {"nodes": nodes, "raw": raw, "problems": []}, "licence": None,
        "evaluations": [Evaluation("grpo", "shop", {"heldout": {"greedy": figures}})],
    }  # fmt: skip
    return CardFacts(**{**value, **changes})


def test_a_card_says_where_a_model_came_from_and_what_it_measured(models: Path) -> None:
    text = card(facts(models))
    head = yaml.safe_load(text.split("---")[1])
    assert (head["base_model"], head["library_name"]) == ("owner/base", "transformers")
    assert "| `rl@grpo` | method grpo; start llm; learning rate 1e-06; seed 3 |" in text
    assert "| `grpo` | `shop` | greedy | 30 of 40 | 0.750 | 0.598 to 0.858 |" in text
    assert f"| `corpus@shop` | `raw/shop/train.jsonl` | {NOT_STATED} |" in text
    assert "at commit `abc` and changes that it does not hold" in text
    assert "Base model: `owner/base`, licence: mit." in text
    base, *others = facts(models).ancestry["nodes"]
    package = {"base.runs.llm": {"pretrained": {"package": "words", "licence": "bsd-3-clause"}}}
    ancestry = {"nodes": [{**base, "params": package}, *others]}
    assert "Base model: `words`, licence: bsd-3-clause." in card(facts(models, ancestry=ancestry))
    assert "<|user|>{question}<|assistant|>" in text
    assert "does not verify" not in text


def test_a_card_hides_no_problem_and_invents_nothing(models: Path) -> None:
    ancestry = {**facts(models).ancestry, "problems": [{"path": "raw/x", "problem": "changed"}]}
    assert "- `raw/x`: changed" in card(facts(models, ancestry=ancestry))
    bare = card(facts(models, ancestry={}, evaluations=[]))
    assert "No record of how this model was made" in bare
    assert "No evaluation of these weights is recorded" in bare


def test_licences_are_what_lies_beside_the_data(tmp_path: Path) -> None:
    for name in ("card", "file", "bad", "none"):
        (tmp_path / "raw" / name / "deep").mkdir(parents=True)
    (tmp_path / "LICENSE").write_text("the project's own")
    (tmp_path / "raw/card/README.md").write_text("---\nlicense: cc-by-4.0\n---\nText\n")
    (tmp_path / "raw/file/LICENCE.txt").write_text("\n  MIT License\n\nmore")
    (tmp_path / "raw/bad/README.md").write_text("---\nlicense: [\n---\n")
    (tmp_path / "params.yaml").write_text("licences: {raw/none: cc0-1.0, owner/base: mit}\n")
    shutil.copy(ROOT / "public.yaml", tmp_path / "public.yaml")
    licence_of = Licences.of(tmp_path).of_source
    assert licence_of("raw/card") == licence_of("raw/card/deep") == "cc-by-4.0"
    assert licence_of("raw/file") == "LICENCE.txt: MIT License"
    assert licence_of("raw/bad") == licence_of("raw/no/such") == NOT_STATED
    assert licence_of("raw/none/deep") == "cc0-1.0"
    assert licence_of("owner/base@0123456789ab") == "mit"
    assert licence_of("public/gsm8k") == "MIT"


def test_a_licence_in_params_is_of_something_there_and_makes_nothing_stale(graph: Project) -> None:
    raw = read_yaml(graph.folder / PARAMS)["corpus"]["exam"]["raw"]
    graph.set("licences", {raw: "cc0-1.0"})
    done = graph.call("plan", "rl@grpo", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert {row["action"] for row in json.loads(done.stdout)["stages"]} == {"keep"}
    graph.set("licences", {f"{raw}l": "cc0-1.0"})
    done = graph.call("plan")
    assert done.returncode == 2
    assert f"licences.{raw}l: nothing else in this file is called so; nearest: {raw}" in done.stderr


def converter(folder: Path, damaged: bool) -> Path:
    path = folder / "convert_hf_to_gguf.py"
    path.write_text(STAND_IN.format(damaged=damaged))
    return path


def test_a_gguf_file_is_loaded_again_and_compared(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a converter that stands in for llama.cpp's, unless WHETSTONE_GGUF_CONVERTER names the real one,
    which knows published tokenizers alone.
    """
    pytest.importorskip("gguf")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    words = ["llm", "--to", "gguf", "--precision", "f32", "-o"]
    done = export(*words, str(tmp_path / "out"), "--converter", str(converter(tmp_path, damaged=False)))
    assert done.exit_code == 0, done.output
    assert "tensors are the model's, in f32" in done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "llm.gguf"]
    again, before = load(tmp_path / "out/llm.gguf", CPU), load(models / "llm/model", CPU)
    ids = [[5, 6, 7]]
    assert again.generate_ids(ids, GREEDY)[0][0].ids == before.generate_ids(ids, GREEDY)[0][0].ids
    bad = export(*words, str(tmp_path / "bad"), "--converter", str(converter(tmp_path, damaged=True)))
    assert bad.exit_code == 2
    assert "model.norm.weight in the file that the converter wrote is not the model's" in bad.output
    assert not (tmp_path / "bad").exists()


@pytest.mark.skipif("WHETSTONE_GGUF_CONVERTER" not in os.environ, reason="names llama.cpp's converter")
def test_llama_cpps_own_converter(tmp_path: Path) -> None:
    from tests.inference.made import sentencepiece_like

    folder = sentencepiece_like(tmp_path / "sp")
    done = export(
        str(folder),
        "--to",
        "gguf",
        "-o",
        str(tmp_path / "out"),
        "--converter",
        os.environ["WHETSTONE_GGUF_CONVERTER"],
    )
    assert done.exit_code == 0, done.output
    assert "tensors are the model's, in f16" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["solver", "--to", "gguf"], "converter is not on PATH"),
        (["solver", "--to", "gguf", "--converter", "none.py"], "none.py: there is no such file"),
        (["none", "--to", "folder"], "none"),
        (["hub", "--to", "folder"], "no tokens.json"),
        (["solver", "--to", "hub"], "--repo OWNER/NAME"),
        (["solver", "--to", "hub", "--repo", "name"], "--repo OWNER/NAME"),
        (["solver", "--to", "hub", "--repo", "a/b"], "HF_TOKEN is not set"),
    ],
    ids=" ".join,
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    done = export(*words)
    assert (done.exit_code, message in " ".join(done.output.split())) == (2, True), done.output


class Hub:
    """What huggingface_hub asks a hub for when it commits small files; `sent` holds path, token and body."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, bytes]] = []
        self.status = 200
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hub.sent.append((self.path, self.headers["Authorization"], body))
                if self.path.endswith("/preupload/main"):
                    names = [row["path"] for row in json.loads(body)["files"]]
                    answer: dict[str, Any] = {
                        "files": [
                            {"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names
                        ]
                    }
                else:
                    url = "http://127.0.0.1/me/solver"
                    answer = {
                        "url": url,
                        "name": "me/solver",
                        "commitOid": "c0ffee",
                        "commitUrl": f"{url}/commit/c0ffee",
                    }
                self.reply(hub.status, answer)

            def do_GET(self) -> None:
                self.reply(200, {"id": "me/solver", "sha": "0" * 40, "siblings": []})

            def reply(self, status: int, answer: dict[str, Any]) -> None:
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *words: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    played = Hub()
    threading.Thread(target=played.http.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", played.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_s3cret")
    yield played
    played.http.shutdown()
    played.http.server_close()


def test_a_repository_gets_the_folder_and_is_private(models: Path, hub: Hub) -> None:
    done = export("solver", "--to", "hub", "--repo", "me/solver")
    assert done.exit_code == 0, done.output
    assert "commit/c0ffee" in done.output
    created = next(json.loads(body) for path, _, body in hub.sent if path.endswith("/repos/create"))
    private = created.get("private", created.get("visibility") == "private")  # by the client's version
    assert (created["name"], private) == ("solver", True)
    commit = next(body for path, _, body in hub.sent if "/commit/main" in path)
    names = {row["value"]["path"] for row in map(json.loads, commit.splitlines()) if row["key"] == "file"}
    assert names == {path.name for path in (models / "solver/model").iterdir()} | {
        "README.md",
        "lineage.json",
    }
    assert {token for _, token, _ in hub.sent} == {"Bearer hf_s3cret"}
    assert "hf_s3cret" not in done.output


def test_a_refusal_of_the_hub_is_told_without_the_token(hub: Hub) -> None:
    hub.status = 403
    done = export("solver", "--to", "hub", "--repo", "me/solver")
    assert (done.exit_code, "me/solver" in done.output, "hf_s3cret" in done.output) == (2, True, False)
