"""The complete examples of docs/add/reward.md, as they stand there: a rule, a judge behind a server, a rubric."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipelines.rewards.verdict import Verdict
from tests.docs.pages import blocks
from tests.rewards.own_made import function, question, responses

PAGE = Path(__file__).parents[2] / "docs/add/reward.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("page")
    for block in blocks(PAGE):
        if block.title and "/" not in block.title:
            (folder / block.title).write_text(block.body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.rewards.own.place.ROOT", folder)
        patch.setattr("pipelines.rewards.own.process.ROOT", folder)
        patch.setenv("PYTHONPATH", str(PAGE.parents[2]))
        yield folder


@pytest.fixture
def server():
    """An OpenAI-compatible server whose model likes a 4, and talks at a 9."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            response = body["messages"][0]["content"].partition("<<<")[2].partition(">>>")[0]
            said = {"4": "10", "9": "I cannot tell."}.get(response, "Grade: 1")
            reply = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/v1", asked
        serving.shutdown()
        thread.join()


def test_the_rule(page):
    judged = function("my_rewards.py:correct").judge(responses(question(), "so it is 4.", "4, no: 5", "none"))
    assert [verdict.outcome for verdict in judged] == ["right", "wrong", "wrong"]


def test_the_judge_behind_a_server(page, server):
    url, asked = server
    judge = function("llm_judge.py:grade", arguments={"url": url, "model": "m"})
    for _ in range(2):  # one client for all calls
        judged = judge.judge(responses(question(), "4", "5", "9"))
        assert judged[:2] == [Verdict("right", 1.0), Verdict("wrong", 0.0)]
        assert judged[2].reason.startswith("ValueError: the judge gave no number")
    assert len(asked) == 6
    assert {body["model"] for body in asked} == {"m"}
    (lost,) = function("llm_judge.py:grade", arguments={"url": "http://127.0.0.1:9/v1"}).judge(
        responses(question(), "4")
    )
    assert lost.reason.startswith("ConnectError: ")


def test_the_rubric(page):
    judged = function("rubric.py:graded").judge(responses(question(), "2 + 2 = 4", "4", "x" * 300))
    assert [verdict.score for verdict in judged] == pytest.approx([1.0, 0.8, 0.0])
    assert [verdict.outcome for verdict in judged] == ["right", "wrong", "wrong"]
    assert dict(judged[1].parts) == {"states_answer": 1.0, "shows_working": 0.0, "short": 1.0}
    assert judged[1].reason == "misses shows_working"
