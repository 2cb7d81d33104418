"""Learning from pairs: what the loop computes however it is cut, packed or resumed, and what it refuses."""

import copy
import math
from contextlib import suppress

import pytest
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from pipelines.corpora.preferences.demonstrations import demonstrations, prepare_safe
from pipelines.corpora.preferences.pair import Pair
from pipelines.corpora.records.tokenised import tokenise
from pipelines.models import adapters
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.packing import Segment, score_rows
from pipelines.objectives.preference import dpo
from pipelines.training import preference_data
from pipelines.training.checkpoints import Checkpoints
from pipelines.training.engine import TorchEngine
from pipelines.training.preference import PairsWithReference, batch_loss, train_pairs
from pipelines.training.preference_data import AnswerPair, PairBatches, PairData, total_steps
from pipelines.training.preference_params import PairTrainParams
from pipelines.training.ranks import Ranks
from pipelines.training.reference_logprobs import (
    load_reference,
    pair_logprobs,
    reference_logprobs,
    save_reference,
)
from pipelines.training.session import TrainingSession
from pipelines.training.supervised import Demonstrations
from tests.text_files import RULES, texts
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens
from tests.training.loops import Notes

SETTINGS = PairTrainParams(
    steps=6, batch_size=8, max_tokens=64, validation_every=3, optimiser={"learning_rate": 3e-3}
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def make_pairs(tokens, count=20, **flags):
    """The right sum against a wrong one; every other prompt has two pairs."""
    pairs = []
    for index in range(count):
        a, b = index % 10, index * 7 // 10 % 10
        prompt, right = f"{a}+{b}", (a + b) % 10
        for turn in range(1 + index % 2):
            chosen, rejected = f"#### {right}", f"#### {(right + 1 + turn) % 10}" + "0" * turn
            ids = [
                tokens.encode_prompt(prompt),
                tokens.encode_response(chosen),
                tokens.encode_response(rejected),
            ]
            pairs.append(
                Pair(f"sum:{index}.{turn}", prompt, chosen, rejected, "tiny", *ids, f"{index}", **flags)
            )
    return pairs


def run(folder, model, pairs, reference, settings=SETTINGS, budget=200, stop=None, validation=True):
    """The rows of the curve, and the weights at the end. `stop`: end as on SIGTERM after that many steps."""
    engine, notes = TorchEngine(model, settings.optimiser, CPU), Notes()
    session = TrainingSession(
        engine, Checkpoints(folder, 0, notes.say), notes, total_steps(settings, len(pairs))
    )

    def progress(done, total, **figures):
        session._terminated = done == stop

    notes.progress = progress
    held_out = PairsWithReference(pairs, reference) if validation else None
    with suppress(SystemExit):
        train_pairs(engine, session, pairs, reference, held_out, settings, notes, 0, budget)
    return notes.rows, [value.detach().clone() for value in model.parameters()]


def test_identity_30_the_first_loss_is_log_2_and_the_loop_learns(tokens, tmp_path):
    data, model = PairData(make_pairs(tokens), 64), make_tiny_model(tokens)
    reference = reference_logprobs(model, data, CPU, 100)
    assert reference.dtype == torch.float32
    rows, _ = run(tmp_path, model, data, reference, SETTINGS.model_copy(update={"steps": 24}))
    first, last = rows[0], rows[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert first["margin"] == pytest.approx(0.0, abs=1e-4)
    assert first["drift"] == pytest.approx(0.0, abs=1e-4)
    assert last["validation_loss"] < rows[2]["validation_loss"] < math.log(2)
    assert last["validation_accuracy"] > 0.7
    assert last["validation_margin"] == pytest.approx(
        last["validation_chosen_reward"] - last["validation_rejected_reward"]
    )
    assert last["drift"] > 0
    assert [row["step"] for row in rows if "validation_loss" in row] == list(range(3, 25, 3))


def test_identity_20_the_sum_is_over_answer_tokens_with_eos_and_nothing_else(tokens):
    """Prompt 3, answer 2 and EOS: exactly the log-probs at indices 2, 3, 4."""
    model = make_tiny_model(tokens)
    prompt, answer, other = (5, 6, 7), (8, 9, tokens.eos_id), (4, tokens.eos_id)
    every = torch.log_softmax(model(torch.tensor([[*prompt, *answer]])).logits[0], -1)
    expected = sum(every[place, token] for place, token in zip((2, 3, 4), answer, strict=True))
    found = pair_logprobs(model, [AnswerPair("a", prompt, answer, other)])
    assert found.shape == (1, 2)
    assert found[0, 0].item() == pytest.approx(expected.item(), abs=1e-5)


def tricky(tokens):
    """Long and no common beginnings, one answer the beginning of the other, prompts that several pairs
    share.
    """
    eos = tokens.eos_id
    return [
        AnswerPair("stem", (5, 6, 7), (8, 9, 4, 4, 5, 6, eos), (8, 9, 4, 4, 5, 7, 7, eos)),
        AnswerPair("same prompt", (5, 6, 7), (8, 9, 4, 4, 5, eos), (9, eos)),
        AnswerPair("cut", (5, 6), (8, 9, 4, 4, 5, 6), (8, 9, 4, 4, 5)),
        AnswerPair("one token", (5, 6), (8,), (9,)),
        AnswerPair("long", (4,) * 9, (8,) * 9 + (eos,), (8,) * 12 + (eos,)),
    ]


def gpt2(tokens):
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=tokens.vocab_size, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    ).eval()


@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt2"])
def test_packing_and_shared_beginnings_change_rounding_only(tokens, family):
    """Log-probs and gradients of all pairs in one forward are those of each answer alone."""
    model = gpt2(tokens) if family == "gpt2" else make_tiny_model(tokens, family=family)
    pairs = tricky(tokens)
    together = pair_logprobs(model, pairs)
    weights = torch.linspace(-1, 1, together.numel()).view_as(together)
    (together * weights).sum().backward()
    packed = [value.grad.clone() for value in model.parameters()]
    model.zero_grad()
    alone = torch.stack(
        [
            score_rows(model, [Segment((p.prompt,), ids)], 1.0, False).logprobs.sum()
            for p in pairs
            for ids in (p.first, p.second)
        ]
    ).view(-1, 2)
    (alone * weights).sum().backward()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    for one, value in zip(packed, model.parameters(), strict=True):
        torch.testing.assert_close(one, value.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("budget", [1, 25, 60, 10_000])
def test_no_cut_divides_a_pair_or_exceeds_the_budget(tokens, shared, budget):
    pairs = tricky(tokens)
    groups = [
        group for group, counts in PairBatches(budget, Ranks.single(), shared).micro_batches(pairs) if counts
    ]
    assert sorted(index for group in groups for index in group) == list(range(len(pairs)))
    for group in groups:
        rows = [row for index in group for row in pairs[index].rows(shared)]
        if shared:
            distinct = {(row.context[0], (*row.context[1:], row.ids)) for row in rows}
            size = sum(map(len, {row.context[0] for row in rows})) + sum(len(row.ids) for row in rows)
            size += sum(map(len, {piece for row in rows for piece in row.context[1:]}))
            assert len(distinct) == len(rows)
        else:
            size = len(rows) * max(sum(map(len, row.context)) + len(row.ids) for row in rows)
        assert size <= budget or len(group) == 1


def test_every_cut_gives_the_same_figures_and_gradient(tokens, monkeypatch):
    data, model = PairData(make_pairs(tokens), 64), make_tiny_model(tokens)
    reference = reference_logprobs(make_tiny_model(tokens, seed=1), data, CPU, 1000)
    found = []
    for budget, stem in ((10_000, 4), (60, 1), (1, 1000)):
        monkeypatch.setattr(preference_data, "MIN_SHARED_PREFIX", stem)
        engine = TorchEngine(copy.deepcopy(model), SETTINGS.optimiser, CPU)
        rows = [3, 0, 11, 7, 4]
        figures = batch_loss(
            engine,
            PairsWithReference(data, reference),
            rows,
            SETTINGS,
            PairBatches(budget, Ranks.single(), True),
            True,
        )
        found.append((figures, [value.grad.clone() for value in engine.model.parameters()]))
    for figures, gradients in found[1:]:
        assert figures == pytest.approx(found[0][0], rel=1e-4, abs=1e-6)
        for one, other in zip(gradients, found[0][1], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    chosen = pair_logprobs(model, [data.pairs[row] for row in rows])
    losses = dpo.pair_loss(*chosen.unbind(1), *reference[rows].unbind(1), SETTINGS.loss)
    assert found[0][0]["loss"] == pytest.approx(losses.mean().item(), abs=1e-5), (
        "one denominator: the pairs of the batch"
    )


@pytest.mark.parametrize("kind", ["dpo", "ipo"])
def test_a_stopped_run_goes_on_to_the_same_bits(tokens, tmp_path, kind):
    data = PairData(make_pairs(tokens), 64)
    reference = reference_logprobs(make_tiny_model(tokens), data, CPU, 1000)
    settings = PairTrainParams.model_validate(SETTINGS.model_dump() | {"loss": kind})
    rows, weights = run(tmp_path / "whole", make_tiny_model(tokens), data, reference, settings)
    before, _ = run(tmp_path / "cut", make_tiny_model(tokens), data, reference, settings, stop=4)
    after, resumed = run(tmp_path / "cut", make_tiny_model(tokens, seed=9), data, reference, settings)
    assert [row["step"] for row in before + after] == [1, 2, 3, 4, 5, 6]
    assert before + after == rows
    assert all(map(torch.equal, weights, resumed))


def test_adapters_learn_and_the_base_stays(tokens, tmp_path):
    data, model = PairData(make_pairs(tokens), 64), make_tiny_model(tokens)
    reference = reference_logprobs(model, data, CPU, 1000)
    adapters.add(model, AdapterParams(rank=2, alpha=4), 0)
    frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    rows, _ = run(tmp_path, model, data, reference)
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert rows[-1]["validation_loss"] < rows[2]["validation_loss"]
    assert all(torch.equal(value, frozen[name]) for name, value in model.named_parameters() if name in frozen)


def test_the_reference_belongs_to_its_pairs(tokens, tmp_path):
    pairs = make_pairs(tokens)
    data = PairData(pairs, 64, "train.jsonl")
    logprobs = reference_logprobs(make_tiny_model(tokens), data, CPU, 1000)
    file = tmp_path / "train.safetensors"
    save_reference(file, logprobs, data)
    assert torch.equal(load_reference(file, PairData(make_pairs(tokens), 64)), logprobs)
    for others in (pairs[1:] + pairs[:1], pairs[:-1], [*pairs[:-1], pairs[0]]):
        with pytest.raises(
            ValueError, match=r"train\.safetensors holds log-probs of 30 pairs .* others\.jsonl gives"
        ):
            load_reference(file, PairData(others, 64, "others.jsonl"))
    with pytest.raises(FileNotFoundError, match="run the reference stage"):
        load_reference(tmp_path / "none", data)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match="damaged"):
        load_reference(file, data)
    logprobs[2, 1] = float("nan")
    save_file({"logprobs": logprobs}, str(file), {"pairs": "30", "digest": data.digest})
    with pytest.raises(ValueError, match=r"pair sum:1\.1 log-probs of"):
        load_reference(file, data)


def test_long_pairs_are_left_out_by_name(tokens):
    pairs = make_pairs(tokens, 4)
    longest = max(len(pair.prompt_ids) + len(pair.rejected_ids) for pair in pairs)
    data = PairData(pairs, longest - 1)
    assert data.too_long == ["sum:1.1", "sum:3.1"]
    assert len(data) == 4
    with pytest.raises(ValueError, match="train: none of 6 pairs fits into 3 tokens"):
        PairData(pairs, 3, "train")


def test_a_loss_that_is_not_finite_ends_the_run(tokens, tmp_path):
    data, model = PairData(make_pairs(tokens), 64), make_tiny_model(tokens)
    reference = torch.full((len(data), 2), float("nan"))
    with pytest.raises(FloatingPointError, match="gradient's norm"):
        run(tmp_path, model, data, reference, validation=False)


def test_safe_answers_become_demonstrations(tokens):
    """dpo_vs_ppo.md 2: every safe answer, both of a dual-safe pair, exact duplicates once."""
    both = make_pairs(tokens, 2, chosen_safe=True, rejected_safe=True)
    mixed = make_pairs(tokens, 3, chosen_safe=True, rejected_safe=False)[3:]
    unsafe = make_pairs(tokens, 5, chosen_safe=False, rejected_safe=False)[-1:]
    records, counts = prepare_safe(texts([*both, *mixed, *unsafe, *make_pairs(tokens, 1)]))
    assert counts == {"safe": 6, "duplicate": 1, "unsafe": 3, "unlabelled": 2}
    assert [record.id for record in records][:3] == ["sum:0.0/chosen", "sum:0.0/rejected", "sum:1.0/chosen"]
    read = tokenise(records, tokens, RULES, "safe").records
    assert len(Demonstrations(read, 64)) == 6
    assert read[0].response_ids == both[0].chosen_ids
    with pytest.raises(ValueError, match="no answer of 1 pairs is labelled safe"):
        prepare_safe(texts(unsafe))


def test_without_labels_the_chosen_answers_are_learnt_once(tokens):
    plain = make_pairs(tokens, 6)
    records = demonstrations(texts([*plain, *plain]))
    assert [record.prompt for record in records] == list(dict.fromkeys(pair.prompt for pair in plain))
    assert {record.subject for record in records} == {"chosen"}
    assert demonstrations(texts(make_pairs(tokens, 2, chosen_safe=False, rejected_safe=False))) == []
    assert demonstrations([]) == []
