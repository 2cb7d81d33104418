"""The OpenAI-compatible server: what it answers is what `sample` draws, whole and streamed; what it cannot
do is an error object; and OpenAI's own client and this project's judge talk to it.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from flows import serve_model_command
from pipelines.inference.checkpoint import Checkpoint, load
from pipelines.inference.prompts import conversation_of
from pipelines.inference.server.app import make_app
from pipelines.inference.server.body_limit import MOST_BYTES
from pipelines.rollouts.rollout_params import SamplingParams
from tests.inference.made import chatty, plain
from tests.tiny import CPU

TALK = [{"role": "user", "content": "Was ist 3 + 4?"}]
ASK = {"model": "talker", "messages": TALK, "max_tokens": 8, "seed": 3}


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(chatty(tmp_path_factory.mktemp("chatty")), CPU)


@pytest.fixture(scope="module")
def client(talker: Checkpoint) -> TestClient:
    return TestClient(make_app(talker, "talker"), "http://127.0.0.1", raise_server_exceptions=False)


def asked(client: TestClient, path: str = "chat/completions", **changes: Any) -> dict[str, Any]:
    done = client.post(f"/v1/{path}", json={**ASK, **changes})
    assert done.status_code == 200, done.text
    return done.json()


def events(client: TestClient, path: str = "chat/completions", **changes: Any) -> list[dict[str, Any]]:
    done = client.post(f"/v1/{path}", json={**ASK, **changes, "stream": True})
    assert done.headers["content-type"].startswith("text/event-stream")
    *lines, last = [line.removeprefix("data: ") for line in done.text.split("\n\n") if line]
    assert last == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_reply_is_what_sample_draws(client: TestClient, talker: Checkpoint) -> None:
    sampling = SamplingParams(max_new_tokens=8)
    [family] = talker.generate([conversation_of(TALK)], sampling, seed=3, samples=2)
    answer = asked(client, n=2)
    assert [choice["message"]["content"] for choice in answer["choices"]] == [reply.text for reply in family]
    assert answer["usage"]["completion_tokens"] == sum(len(reply.ids) for reply in family)
    assert {choice["finish_reason"] for choice in answer["choices"]} <= {"stop", "length"}


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_a_stream_is_the_whole_in_pieces(client: TestClient, path: str) -> None:
    more: dict[str, Any] = {"prompt": ["3 + 4 é", "x"], "logprobs": 2} if path == "completions" else {"n": 2}
    if path == "chat/completions":
        more |= {"logprobs": True, "top_logprobs": 2}
    whole = asked(client, path, **more)
    *pieces, last = events(client, path, **more, stream_options={"include_usage": True})
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    for index, choice in enumerate(whole["choices"]):
        own = [piece["choices"][0] for piece in pieces if piece["choices"][0]["index"] == index]
        text = "".join(part["delta"].get("content", "") if "delta" in part else part["text"] for part in own)
        assert text == (choice["message"]["content"] if "message" in choice else choice["text"])
        assert [part["finish_reason"] for part in own] == [None] * (len(own) - 1) + [choice["finish_reason"]]
        key = "content" if "message" in choice else "token_logprobs"
        assert [row for part in own for row in part["logprobs"][key]] == choice["logprobs"][key]


def test_logprobs_are_of_the_models_distribution(client: TestClient) -> None:
    [choice] = asked(client, temperature=0, logprobs=True, top_logprobs=20)["choices"]
    for row in choice["logprobs"]["content"]:
        assert row["logprob"] == pytest.approx(row["top_logprobs"][0]["logprob"])
        assert 0 < sum(math.exp(other["logprob"]) for other in row["top_logprobs"]) <= 1.0001
        assert len(row["top_logprobs"]) == 20
    assert asked(client)["choices"][0]["logprobs"] is None


def test_a_stop_text_ends_a_reply_and_is_left_out(client: TestClient) -> None:
    whole = asked(client, max_tokens=20)["choices"][0]["message"]["content"]
    stop = whole[3:5]
    [choice] = asked(client, max_tokens=20, stop=["\ue000", stop])["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (whole[: whole.index(stop)], "stop")
    text = "".join(
        part["choices"][0]["delta"].get("content", "") for part in events(client, max_tokens=20, stop=stop)
    )
    assert text == whole[: whole.index(stop)]


def test_without_a_seed_replies_differ_and_null_is_left_out(client: TestClient) -> None:
    found = {
        asked(client, seed=None, top_p=None, max_tokens=20)["choices"][0]["message"]["content"]
        for _ in range(4)
    }
    assert len(found) > 1


BAD = [
    ({"model": "other"}, 404, "model", "'other' does not exist"),
    ({"messages": []}, 400, "messages", "must be a list of"),
    ({"messages": "hello"}, 400, "messages", "valid list"),
    ({"messages": [{"role": "user", "content": "<|im_end|>"}]}, 400, "messages", "special token"),
    ({"messages": [*TALK, *TALK]}, 400, "messages", "out of order"),
    ({"messages": [{"role": "user", "content": "x" * 500}]}, 400, "messages", "context is 192"),
    ({"temperature": -1}, 400, "temperature", "greater than"),
    ({"top_p": 0}, 400, "top_p", "greater than 0"),
    ({"max_tokens": 0}, 400, "max_tokens", "greater than"),
    ({"n": 1000}, 400, "n", "less than"),
    ({"stop": list("12345")}, 400, None, ""),
    ({"top_logprobs": 50, "logprobs": True}, 400, "top_logprobs", "less than"),
    ({"frequency_penalty": 0.5}, 400, None, "frequency_penalty is not supported"),
    ({"response_format": {"type": "json_object"}}, 400, None, "response_format is not supported"),
    ({"min_p": 0.1}, 400, None, "min_p is not supported here; leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "status", "param", "message"), BAD, ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_served_is_an_error_object(
    client: TestClient, changes: dict, status: int, param: str | None, message: str, stream: bool
) -> None:
    done = client.post("/v1/chat/completions", json={**ASK, **changes, "stream": stream})
    assert done.status_code == status, done.text
    fault = done.json()["error"]
    assert fault["type"] == "invalid_request_error"
    assert param is None or fault["param"] == param
    assert message in fault["message"]


def test_what_asks_nothing_is_passed_over(client: TestClient) -> None:
    asked(client, user="me", frequency_penalty=0, response_format={"type": "text"}, metadata={"a": "b"})


def test_other_requests(client: TestClient) -> None:
    assert [row["id"] for row in client.get("/v1/models").json()["data"]] == ["talker"]
    assert client.get("/v1/models/talker").json()["max_model_len"] == 192
    assert client.get("/v1/models/none").json()["error"]["code"] == "model_not_found"
    assert client.get("/health").status_code == 200
    assert client.get("/v1/nothing").json()["error"]["message"] == "Not Found"
    assert (
        client.post("/v1/completions", content=b"{", headers={"content-type": "application/json"}).status_code
        == 400
    )
    assert (
        client.post("/v1/completions", json={"model": "talker", "prompt": [99999]}).json()["error"]["param"]
        == "prompt"
    )


def test_a_request_that_is_no_prompt_by_its_size_is_not_read(client: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        yield b'{"model": "'
        for _ in range(MOST_BYTES >> 20):
            yield b"x" * (1 << 20)

    json_type = {"content-type": "application/json"}
    done = client.post("/v1/completions", content=parts(), headers=json_type)  # its length is not declared
    assert (done.status_code, done.json()["error"]["type"]) == (413, "invalid_request_error")


def test_a_page_of_a_browser_does_not_reach_it_by_another_name(client: TestClient) -> None:
    assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 400


def test_a_key_is_asked_for(talker: Checkpoint) -> None:
    keyed = TestClient(make_app(talker, "talker", key="s3cret"), "http://127.0.0.1")
    for headers in ({}, {"authorization": "Bearer s3cre"}, {"authorization": "Bearer é".encode()}):
        done = keyed.get("/v1/models", headers=headers)
        assert (done.status_code, done.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "s3cret" not in done.text
    assert keyed.get("/v1/models", headers={"authorization": "Bearer s3cret"}).status_code == 200


@pytest.fixture
def served(talker: Checkpoint) -> Iterator[str]:
    """The server on a port of loopback, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(make_app(talker, "talker"), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join(20)


def test_openais_client_talks_to_it(served: str, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    openai = pytest.importorskip("openai")
    monkeypatch.setenv("NO_PROXY", "*")
    api = openai.OpenAI(base_url=served, api_key="none", max_retries=0)
    whole = api.chat.completions.create(**ASK, logprobs=True, top_logprobs=3)
    text = asked(client)["choices"][0]["message"]["content"]
    assert (whole.choices[0].message.content, len(whole.choices[0].logprobs.content[0].top_logprobs)) == (
        text,
        3,
    )
    parts = [part.choices[0].delta.content or "" for part in api.chat.completions.create(**ASK, stream=True)]
    assert "".join(parts) == text
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        api.chat.completions.create(**{**ASK, "model": "other"})


def test_whoever_leaves_a_stream_frees_the_model(served: str) -> None:
    import httpx

    body = {**ASK, "max_tokens": 150, "temperature": 3.0, "stream": True}
    with httpx.Client(trust_env=False, timeout=60) as http:
        with http.stream("POST", f"{served}/chat/completions", json=body) as reply:
            next(reply.iter_lines())
        assert http.post(f"{served}/chat/completions", json=ASK).status_code == 200


FAKE_VLLM = """
import json, os, sys
words = sys.argv[1:]
template = open(words[words.index("--chat-template") + 1]).read()
print(json.dumps({"words": words, "template": template, "key": os.environ.get("VLLM_API_KEY")}))
"""


def test_vllm_serves_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the model's name and a chat template that writes a question as the model was trained on it."""
    package = tmp_path / "site/vllm/entrypoints/openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").write_text("")
    (package / "api_server.py").write_text(FAKE_VLLM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    monkeypatch.setenv("SERVED_KEY", "s3cret")
    folder = plain(tmp_path / "models/solver")
    said: list[str] = []
    code = serve_model_command.serve(
        str(folder), "127.0.0.1", 8123, None, "SERVED_KEY", "auto", 5, said.append
    )
    assert code == 0
    found = json.loads(capfd.readouterr().out)
    words = dict(zip(found["words"][::2], found["words"][1::2], strict=True))
    assert (words["--model"], words["--served-model-name"], words["--host"], words["--port"], words["--seed"]) == (
        str(folder), "solver", "127.0.0.1", "8123", "5",
    )  # fmt: skip
    assert found["key"] == "s3cret"
    assert not any("s3cret" in text for text in [*found["words"], *said])
    checkpoint = load(folder, CPU)
    from pipelines.models.chat_renderer import Renderer

    renderer = Renderer("solver", found["template"], {}, "2024-07-26")
    written = renderer.render([{"role": "user", "content": "3+4"}], [], ())["whole"]
    ids = checkpoint.tokens.tokenizer.encode(written, add_special_tokens=False).ids
    assert ids == checkpoint.tokens.encode_prompt("3+4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": "0.0.0.0"}, "--key-variable"),
        ({"host": "some.name"}, "--key-variable"),
        ({"key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY, which is not set"),
        ({"model": "none"}, "none"),
        ({"port": None}, "choose another with --port"),
    ],
    ids=str,
)
def test_what_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        asking: dict[str, Any] = {
            "model": "m", "host": "127.0.0.1", "port": 0, "name": None, "key_variable": None, "engine": "local",
            "seed": None, "say": lambda text: None,
        }  # fmt: skip
        asking |= {key: port if value is None else value for key, value in changes.items()}
        with pytest.raises(ValueError, match=message):
            serve_model_command.serve(**asking)
