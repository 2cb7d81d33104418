"""A model that does as the prompt says, asked by both kinds of teacher: in this process, and behind a real
OpenAI-compatible server.

The model is made on the spot: it has learnt to answer six questions with the labels that the built-in prompt
asks for. A prompt that asked for other labels than are read would make every verdict an error.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import torch
import uvicorn

from pipelines.corpora.records.record import Record
from pipelines.rewards.generative.verifier_judge import JudgeQuery
from pipelines.rewards.judge import JudgeContext, Response
from pipelines.rewards.models import chat_verifier, endpoint
from pipelines.rewards.models.options import (
    AskingParams,
    ChatAskingParams,
    ChatVerifierParams,
    EndpointParams,
)
from tests.tiny import CPU

ROOT = Path(__file__).resolve().parents[2]
CHAT = "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}"
KNOWN = [
    (question, key, candidate, candidate.rstrip(".").endswith(key))
    for question, key, others in [
        ("What is 2 + 2?", "4", ["Paris"]),
        ("The capital of France?", "Paris", ["4"]),
    ]
    for candidate in (key, f"It is {key}.", *others)
]


def obedient(folder, asking):
    """A two-layer Llama that answers what KNOWN asks in the words that `asking`'s prompt asks for."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    prompts = [asking.prompt.render(question, candidate, key) for question, key, candidate, _ in KNOWN]
    # what a reader would answer with
    obeyed = [prompts[0].split(word)[0].split()[-1] for word in (" = same", " = different")]
    split = pre_tokenizers.WhitespaceSplit()
    words = {word for text in [*prompts, asking.system] for word, _ in split.pre_tokenize_str(text)}
    vocabulary = {
        word: place
        for place, word in enumerate(
            ["<unk>", "<s>", "</s>", *sorted(words | {"user", "system", "assistant", *obeyed})]
        )
    }
    raw = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    raw.pre_tokenizer = split
    raw.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<s>", "</s>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        chat_template=CHAT,
    )
    torch.manual_seed(0)
    shape = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
    }
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(vocabulary), bos_token_id=1, eos_token_id=2, pad_token_id=2, **shape)
    )
    rows = []
    for prompt, (*_, right) in zip(prompts, KNOWN, strict=True):
        messages = [{"role": "system", "content": asking.system}, {"role": "user", "content": prompt}]
        ids = tokenizer(
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True),
            add_special_tokens=False,
        )
        rows.append((ids["input_ids"], [vocabulary[obeyed[0] if right else obeyed[1]], 2]))
    longest = max(len(ids) + 2 for ids, _ in rows)
    padded = torch.tensor([ids + answer + [2] * (longest - len(ids) - 2) for ids, answer in rows])
    targets = torch.full_like(padded, -100)
    for row, (ids, answer) in enumerate(rows):
        targets[row, len(ids) : len(ids) + 2] = torch.tensor(answer)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(400):
        loss = model(padded, labels=targets).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 0.01:
            break
    assert loss < 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return obedient(tmp_path_factory.mktemp("obedient"), ChatAskingParams())


def answers():
    return [Response(Record(f"q{n}", question, None, key, "s", None, "set", [1], None), (), candidate, True)
            for n, (question, key, candidate, _) in enumerate(KNOWN)]  # fmt: skip


WANTED = ["right" if right else "wrong" for *_, right in KNOWN]


def test_an_obedient_chat_model_is_read_as_it_answers(checkpoint):
    judge = chat_verifier.make_judge(
        ChatVerifierParams(model=str(checkpoint)), JudgeContext(None, None, CPU, 2048)
    )
    assert [verdict.outcome for verdict in judge.judge(answers())] == WANTED
    judge.preflight([each.record for each in answers()])


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    """`transformers serve`, a process of its own."""
    pytest.importorskip("openai", reason="transformers serve needs the package openai")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(checkpoint), "--device", "cpu"]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                if (
                    httpx.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).status_code
                    == 200
                ):
                    break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield {"url": f"http://127.0.0.1:{port}/v1", "model": str(checkpoint)}
    finally:
        process.terminate()
        process.wait(30)


def test_an_obedient_model_behind_a_server_is_read_as_it_answers(server):
    """The server gives no log-probs: its words are read."""
    judge = endpoint.make_judge(EndpointParams(**server, parallel=1), JudgeContext(None, None, CPU, 2048))
    assert [verdict.outcome for verdict in judge.judge(answers())] == WANTED
    judge.preflight([each.record for each in answers()])


def test_a_model_behind_our_own_server_is_read_by_its_log_probs(checkpoint):
    from pipelines.inference.checkpoint import load
    from pipelines.inference.server.app import make_app

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        app = make_app(load(checkpoint, CPU), "teacher")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            labels = endpoint.EndpointLabels(EndpointParams(url=url, model="teacher"))
            judge = endpoint.make_judge(
                EndpointParams(url=url, model="teacher"), JudgeContext(None, None, CPU, 2048)
            )
            assert [verdict.outcome for verdict in judge.judge(answers())] == WANTED
            judge.preflight([each.record for each in answers()])
            question, key, candidate, _ = KNOWN[0]
            [reading] = labels.read([JudgeQuery(question, candidate, key)])
            assert 0.5 < reading.positive < 1  # a probability, no hard label
        finally:
            server.should_exit = True
            thread.join(20)


def test_the_command_line_asks_the_server(server, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(
            json.dumps({"question": q, "reference": key, "response": text}) + "\n"
            for q, key, text, _ in KNOWN
        )
    )
    options = [word for name, value in server.items() for word in ("-S", f"{name}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "flows", "judge", "endpoint", str(path), "--json", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["outcome"] for line in done.stdout.splitlines()] == WANTED


@pytest.mark.parametrize("record", [ChatVerifierParams, EndpointParams])
@pytest.mark.parametrize(
    "asking",
    [
        {"template": AskingParams().template},  # asks for 1 and 0, reads YES and NO: as the recipe did
        {"template": "{candidate}\n{key}"},
        {"template": "Same? Say TRUE or FALSE. {candidate} {key}"},
        {"template": "Answer YES if they are the same. {candidate} {key}"},
        {"positive": ["A"], "negative": ["B"], "template": "Reply YES or NO. {candidate} {key}"},
        {"template": "YESTERDAY or NOTHING? {candidate} {key}"},
    ],
)
def test_a_prompt_that_asks_for_other_labels_than_are_read_is_refused(record, asking):
    with pytest.raises(ValueError, match=r"labels that are read|asks for the positive label"):
        record(model="./m", asking=asking)


@pytest.mark.parametrize(
    "asking",
    [
        {},
        {"positive": ["1"], "negative": ["0"]},
        {"positive": ["true"], "negative": ["false"]},
        {"template": "Reply YES or NO.\n{candidate}\n{key}"},
        {"system": "You answer with YES or NO.", "template": "{candidate}\n{key}"},
        {"positive": ["A"], "negative": ["B"], "template": "A: same. B: different. {candidate} {key}"},
    ],
)
def test_a_prompt_names_the_labels_that_are_read(asking):
    found = ChatVerifierParams(model="./m", asking=asking).asking
    assert found.named(f"{found.system} {found.template}") == {"positive", "negative"}


def test_a_template_of_ones_own_verifier_names_both_labels_or_neither():
    assert AskingParams(template="{candidate}\n{key}").named("") == set()
    with pytest.raises(ValueError, match="asks for the positive label"):
        AskingParams(template="1 = same: {candidate} {key}")
