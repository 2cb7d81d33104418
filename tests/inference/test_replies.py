"""Replies of a checkpoint: streamed and whole they are the same, and depend on prompt, seed and sampling
alone.
"""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.inference.checkpoint import Checkpoint, load, reply_key
from pipelines.inference.prompts import conversation_of
from pipelines.inference.text_stream import TextStream
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.rollouts.rollout_params import SamplingParams
from tests.inference.made import chatty, plain
from tests.tiny import CPU

SAMPLING = SamplingParams(temperature=0.9, top_p=0.95, max_new_tokens=12)
TALK = conversation_of([{"role": "user", "content": "Was ist 3 + 4?"}])


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(chatty(tmp_path_factory.mktemp("chatty")), CPU)


@pytest.fixture(scope="module")
def solver(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load(plain(tmp_path_factory.mktemp("plain")), CPU)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_stream_is_the_whole_reply(talker: Checkpoint, solver: Checkpoint, temperature: float) -> None:
    sampling = SAMPLING.model_copy(update={"temperature": temperature})
    for checkpoint, prompt in ((talker, TALK), (talker, "What?"), (solver, "3+4")):
        for seed in range(2):
            [[reply]] = checkpoint.generate([prompt], sampling, seed)
            assert "".join(checkpoint.stream(prompt, sampling, seed)) == reply.text


def test_a_models_own_forward_draws_the_same(talker: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = talker.tokens.encode_conversation(TALK).ids
    before = [step.id for step in talker.decoder.stream(prompt, 5, SAMPLING)]
    monkeypatch.setattr("pipelines.inference.decoding.fusible", lambda model: False)
    plain_forward = type(talker.decoder)(talker.model, talker.tokens, CPU)
    assert [step.id for step in plain_forward.stream(prompt, 5, SAMPLING)] == before


def test_a_reply_depends_on_its_prompt_and_seed_alone(solver: Checkpoint) -> None:
    alone = [solver.generate([prompt], SAMPLING, 3)[0][0] for prompt in ("3+4", "9", "1+1+1")]
    together = solver.generate(["1+1+1", "3+4", "9", "3+4"], SAMPLING, 3, samples=2)
    assert [family[0] for family in together] == [alone[2], alone[0], alone[1], alone[0]]
    assert together[1][0] != together[1][1]
    assert solver.generate(["3+4"], SAMPLING, 4)[0][0] != alone[0]


def test_why_a_reply_ended(solver: Checkpoint) -> None:
    prompt = solver.tokens.encode_prompt("3+4")
    short = SamplingParams(max_new_tokens=1)
    [[reply]] = solver.generate(["3+4"], short)
    assert (reply.finish, reply.finished, len(reply.ids)) in (("length", False, 1), ("stop", True, 1))
    nearly_full = [prompt[1]] * (solver.context - 2)
    step = list(solver.decoder.stream(nearly_full, 0, SAMPLING))[-1]
    assert step.finish is not None
    with pytest.raises(ValueError, match="context is 192"):
        next(solver.decoder.stream([4] * 192, 0, SAMPLING))


def test_logprobs_are_the_models_own(solver: Checkpoint) -> None:
    ids = solver.tokens.encode_prompt("3+4")
    greedy = SamplingParams(temperature=0, max_new_tokens=5)
    steps = list(solver.decoder.stream(ids, 0, greedy, top=3))
    [[whole]] = LocalEngine(solver.model, solver.tokens, CPU).generate([ids], [[0]], greedy)
    assert [step.id for step in steps] == whole.ids
    assert [step.logprob for step in steps] == pytest.approx(whole.logprobs.tolist(), abs=1e-4)
    assert all(step.top[0] == (step.id, pytest.approx(step.logprob)) and len(step.top) == 3 for step in steps)


def test_keys_of_prompts_differ() -> None:
    keys = {reply_key(ids, seed, n) for ids in ([1, 2], [12], [1], [2, 1]) for seed in (0, 1) for n in (0, 1)}
    assert len(keys) == 16


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["chatty", "plain"])
def test_pieces_are_the_decoded_ids(
    talker: Checkpoint, solver: Checkpoint, kind: str, data: st.DataObject
) -> None:
    """Any ids, also those whose bytes are no text."""
    tokens: Tokens = (talker if kind == "chatty" else solver).tokens
    known = st.lists(st.integers(0, tokens.vocab_size - 1), max_size=30)
    spelt = st.text(max_size=12).map(lambda text: tokens.tokenizer.encode(text, add_special_tokens=False).ids)
    ids = data.draw(st.one_of(known, st.lists(spelt, max_size=3).map(lambda parts: [*chain(*parts)])))
    written = TextStream(tokens)
    pieces = [written.push(id) for id in ids]
    assert "".join([*pieces, written.finish()]) == tokens.decode(ids)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text("123+", max_size=20), stops=st.lists(st.text("123+", min_size=1, max_size=4), max_size=3))
def test_nothing_of_a_stop_text_is_written(solver: Checkpoint, text: str, stops: list[str]) -> None:
    written = TextStream(solver.tokens, stops)
    pieces: list[str] = []
    for id in solver.tokens.encode_text(text):
        pieces.append(written.push(id))
        if written.stopped:
            break
    result = "".join([*pieces, written.finish()])
    places = [text.find(stop) for stop in stops if stop in text]
    assert written.stopped == bool(places)
    if not places:
        assert result == text
    else:  # the first that came to its end while it was drawn
        assert text.startswith(result)
        assert not any(stop in result for stop in stops)


def test_one_text_is_no_list_of_prompts(solver: Checkpoint) -> None:
    with pytest.raises(ValueError, match=r"generate\(\['3\+4'\], …\)"):
        solver.generate("3+4", SAMPLING)
