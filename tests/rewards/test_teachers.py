"""Teachers: a Hugging Face chat model from a folder made on the spot, and a real HTTP server that speaks the
chat API.
"""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from pipelines.corpora.records.record import Record
from pipelines.rewards.generative.verifier_judge import JudgeQuery
from pipelines.rewards.judge import JudgeContext, Response
from pipelines.rewards.models import chat_verifier, endpoint
from pipelines.rewards.models.options import ChatVerifierParams, EndpointParams
from pipelines.rewards.reward_params import JUDGE
from pipelines.rewards.scoring import CheckerFailed
from tests.tiny import CPU

RECORD = Record("q", "What is 2 + 2?", None, "4", "sum", None, "set", [1], None)
CHAT = "{% for m in messages %}<s>{{ m.role }} {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant {% endif %}"


def context(folder=None):
    return JudgeContext(folder, None, CPU, 512)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A two-layer Llama with a byte-level tokenizer in which YES and NO are tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("chat")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: place for place, piece in enumerate(["</s>", *alphabet, "YE", "YES", "NO"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Y", "E"), ("YE", "S"), ("N", "O")]))
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", chat_template=CHAT).save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=1024)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_a_chat_model_is_read_after_the_generation_prompt(checkpoint):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    judge = chat_verifier.make_judge(ChatVerifierParams(model=str(checkpoint), max_leak=1.0), context())
    ask = JudgeQuery("What is 2 + 2?", "4", "It is 4.")
    (reading,) = judge.read([ask])
    tokenizer, model = (
        AutoTokenizer.from_pretrained(checkpoint),
        AutoModelForCausalLM.from_pretrained(checkpoint),
    )
    text = judge._labels.text(ask)
    assert text.endswith("</s><s>assistant ")
    with torch.no_grad():
        chances = torch.softmax(
            model(torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])).logits[0, -1], -1
        )
    assert reading.positive == pytest.approx(float(chances[tokenizer.convert_tokens_to_ids("YES")]), abs=1e-6)
    assert reading.negative == pytest.approx(float(chances[tokenizer.convert_tokens_to_ids("NO")]), abs=1e-6)


def test_a_chat_model_that_says_neither_is_an_error(checkpoint):
    judge = chat_verifier.make_judge(ChatVerifierParams(model=str(checkpoint)), context())
    (verdict,) = judge.judge([Response(RECORD, (), "4", True)])
    assert verdict.outcome == "error"
    assert "outside of the labels" in verdict.reason


def test_a_revision_belongs_to_an_id():
    with pytest.raises(ValueError, match="revision belongs to a Hugging Face id"):
        ChatVerifierParams(model="./someone/verifier", revision="main")


def test_both_are_judges_of_the_seam():
    assert {"chat_verifier", "endpoint", "verifier"} <= set(JUDGE.names())
    assert JUDGE.choose({"kind": "endpoint", "model": "judge-1"}).url.startswith("http://127.0.0.1")


class Server:
    """Answers with what `script` holds for the call's number, or its last entry: (status, body); or with what
    it returns for a request.
    """

    def __init__(self, script):
        self.script, self.seen = script, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen.append((self.path, dict(self.headers), body))
                scripted = (
                    None
                    if callable(outer.script)
                    else outer.script[min(len(outer.seen), len(outer.script)) - 1]
                )
                status, answer = scripted or outer.script(body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.http.shutdown()
        self.http.server_close()


def logprobs(**chances):
    rows = [{"token": token, "logprob": math.log(chance)} for token, chance in chances.items()]
    return {
        "choices": [
            {"message": {"content": "YES"}, "logprobs": {"content": [{"token": "YES", "top_logprobs": rows}]}}
        ]
    }


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    monkeypatch.setattr(endpoint, "PAUSE_S", 0.0)


def read(server, **options):
    judge = endpoint.make_judge(EndpointParams(url=server.url, model="judge-1", **options), context())
    return judge.read([JudgeQuery("What is 2 + 2?", "4", "It is 4.")])[0]


def test_log_probs_of_all_spellings_are_added_up():
    with Server([(200, logprobs(YES=0.6, yes=0.2, NO=0.15))]) as server:
        reading = read(server)
    assert reading == (pytest.approx(0.8), pytest.approx(0.15))
    path, _, body = server.seen[0]
    assert path == "/v1/chat/completions"
    assert (body["max_tokens"], body["temperature"]) == (endpoint.MAX_TOKENS, 0)
    assert "<<<It is 4.>>>" in body["messages"][-1]["content"]


def test_without_log_probs_the_label_itself_counts():
    with Server([(200, {"choices": [{"message": {"content": " NO"}}]})]) as server:
        assert read(server) == (0.0, 1.0)
    with Server([(200, {"choices": [{"message": {"content": "Perhaps"}}]})]) as server:
        assert read(server) == "unparsed: 'Perhaps'"


def test_a_busy_server_is_asked_again_and_a_refusal_is_not():
    with Server([(503, {}), (429, {}), (200, logprobs(YES=1.0))]) as server:
        assert read(server).positive == pytest.approx(1)
        assert len(server.seen) == 3
    with Server([(401, {})]) as server:
        assert read(server) == f"endpoint {server.url}: status 401"
        assert len(server.seen) == 1


@pytest.mark.parametrize("answer", [b"no json", {}, {"choices": []}, {"choices": [{"message": None}]}, [1]])
def test_damaged_answers_are_errors(answer):
    with Server([(200, answer)]) as server:
        assert "none of the API's" in read(server)


def test_no_server_is_an_error_verdict():
    judge = endpoint.make_judge(EndpointParams(url="http://127.0.0.1:9/v1", model="m", tries=2), context())
    (verdict,) = judge.judge([Response(RECORD, (), "4", True)])
    assert (verdict.outcome, verdict.reason) == ("error", "endpoint http://127.0.0.1:9/v1: ConnectError")
    with pytest.raises(
        CheckerFailed,
        match=r"gives no verdict at all, on 1 of 1 questions: endpoint http://127.0.0.1:9/v1: ConnectError",
    ):
        judge.preflight([RECORD])


def test_nothing_leaves_the_machine_unasked_and_keys_stay_out_of_files(monkeypatch):
    with pytest.raises(ValueError, match="set allow_remote"):
        EndpointParams(url="https://api.example.com/v1", model="m")
    with pytest.raises(ValueError, match="holds credentials"):
        EndpointParams(url="http://me:secret@127.0.0.1/v1", model="m")
    with pytest.raises(ValueError, match="MY_KEY, which is not set"):
        endpoint.make_judge(EndpointParams(model="m", key_variable="MY_KEY"), context())
    monkeypatch.setenv("MY_KEY", "s3cret")
    with Server([(200, logprobs(YES=1.0))]) as server:
        read(server, key_variable="MY_KEY")
    assert server.seen[0][1]["Authorization"] == "Bearer s3cret"
