"""Distilling a verifier: what is learnt from, what is made up beside it, the temperature, and that a small
one learns (reward_bridge.md 4).
"""

import math

import pytest
import torch

from pipelines.corpora.records.judgement import Judgement
from pipelines.evaluation.agreement import JudgedAnswer, agreement
from pipelines.models.packing import Segment, score_rows
from pipelines.rewards.generative.reading import LabelProbabilities, soft_reward
from pipelines.rewards.models.options import AskingParams
from pipelines.rewards.models.verifier import VerifierLabels, VerifierPrompt
from pipelines.training.engine import TorchEngine
from pipelines.training.options import OptimiserParams, SupervisedParams
from pipelines.training.supervised import Demonstrations, batch_loss
from pipelines.training.verifier_params import NegativesParams
from pipelines.training.verifier_training import ask_of, examples, fit_temperature, with_negatives
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens

ASKING = AskingParams(
    template="{candidate}{key}", marks=("+", "+"), positive=("1",), negative=("0",), max_tokens=60
)
NONE = NegativesParams(**dict.fromkeys(NegativesParams.model_fields, 0))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def judgement(number, reference, response, label, **more):
    return Judgement(
        f"j{number}",
        f"q{number}",
        f"{number}+{number}",
        reference,
        response,
        label,
        "exact",
        truth=label,
        **more,
    )


ROWS = [judgement(n, str(n % 10), f"{n}\n{(n + n % 2) % 10}", int(n % 2 == 0)) for n in range(40)]


def test_only_the_label_and_the_end_carry_the_loss_item_14(tokens):
    asking = VerifierPrompt.of(ASKING, tokens)
    (example,), reasons = examples([ROWS[2]], asking, 64)
    assert not reasons
    assert example.response_ids == [asking.labels.positive[0], tokens.eos_id]
    assert tokens.decode(example.prompt_ids) == "+2+2"
    model = make_tiny_model(tokens)
    engine = TorchEngine(model, OptimiserParams(), CPU)
    data = Demonstrations([example], 60)
    loss = batch_loss(engine, data, [0], SupervisedParams(steps=1), 256, False)
    scores = score_rows(model, [Segment((tuple(example.prompt_ids),), tuple(example.response_ids))]).logprobs
    assert loss == pytest.approx(float(-scores.detach().mean()), abs=1e-6)
    assert -math.log(0.8) == pytest.approx(0.22314, abs=1e-5)


def test_judgements_that_cannot_be_asked_are_counted(tokens):
    bad = [
        judgement(1, "ß", "1", 0),
        judgement(2, "2", " \n", 0),
        judgement(3, "3", "3" * 100, 0),
        judgement(4, "4", "4", 1),
    ]
    found, reasons = examples(bad, VerifierPrompt.of(ASKING, tokens), 64)
    assert len(found) == 1
    assert sum(reasons.values()) == 3
    assert any("no token" in reason for reason in reasons)
    assert reasons["the response is empty"] == 1


def test_negatives_are_seeded_and_never_the_reference():
    rows, made = with_negatives(
        ROWS, NegativesParams(openings=0.2, others=0.2, lists=0.1, echoes=0.1, noise=0.1), 3
    )
    again, _ = with_negatives(
        ROWS, NegativesParams(openings=0.2, others=0.2, lists=0.1, echoes=0.1, noise=0.1), 3
    )
    assert rows == again
    new = [row for row in rows if row.teacher != "exact"]
    assert len(new) == sum(made.values())
    assert made["openings"] == made["others"] == 8
    assert all(row.label == row.truth == 0 and row.response.strip() != row.reference for row in new)
    assert len({row.id for row in rows}) == len(rows)
    assert with_negatives(ROWS, NONE, 3)[1] == {}


def test_swaps_change_one_word_of_a_right_answer_that_is_not_the_reference():
    """What the laboratory swaps is the reference itself: no verifier has seen its strings."""
    holders = [("Ann", "pen"), ("Ben", "pen"), ("Eva", "drum"), ("Tom", "coat")]
    rows = [
        judgement(n, f"{name} has the {thing}", f"the {thing} is with {name}", 1)
        for n, (name, thing) in enumerate(holders)
    ]
    rows += [
        judgement(9, "Ann has the pen", "Ann has the pen", 1),
        judgement(10, "Ann has the pen", "the drum is with Ann", 0),
    ]
    shares = NegativesParams(**{name: float(name == "swaps") for name in NegativesParams.model_fields})
    made = [row for row in with_negatives(rows, shares, 0)[0] if row.teacher == "swaps"]
    assert made
    for row in made:
        words = row.response.split()
        assert words[:1] + words[2:4] == ["the", "is", "with"]
        right = f"the {row.reference.split()[-1]} is with {row.reference.split()[0]}".split()
        assert sum(a != b for a, b in zip(words, right, strict=True)) == 1
        assert row.label == 0


def test_the_temperature_is_the_likeliest_one():
    """Readings that are twice as sure as they may be: T = 2."""
    generator = torch.Generator().manual_seed(0)
    odds = 3 * torch.randn(20_000, generator=generator, dtype=torch.float64)
    labels = (torch.rand(20_000, generator=generator) < torch.sigmoid(odds / 2)).int().tolist()
    chances = torch.sigmoid(odds).tolist()
    readings = [LabelProbabilities(0.9 * p, 0.9 * (1 - p)) for p in chances]
    assert fit_temperature(readings, labels) == pytest.approx(2.0, abs=0.1)
    assert fit_temperature([LabelProbabilities(0.9, 0.1), "no answer"], [1, 1]) == 1.0
    assert fit_temperature([], []) == 1.0


def test_a_small_verifier_learns_its_labels(tokens):
    torch.manual_seed(0)
    model = make_tiny_model(tokens)
    asking = VerifierPrompt.of(ASKING, tokens)
    rows = [judgement(f"{a}{b}", str(a), str(b), int(b < 5)) for a in range(10) for b in range(10)]
    engine = TorchEngine(model, OptimiserParams(learning_rate=3e-3), CPU)
    found, _ = examples(rows, asking, 64)
    data = Demonstrations(found, 60)
    for _ in range(60):
        batch_loss(engine, data, list(range(len(data))), SupervisedParams(steps=1), 4096, True)
        engine.step(1.0)
    readings = VerifierLabels(model.eval(), asking, CPU, 1024).read([ask_of(row) for row in rows])
    figures = agreement(
        [
            JudgedAnswer(row.id, row.truth, int(soft_reward(each) > 0.5), soft_reward(each))
            for row, each in zip(rows, readings, strict=True)
        ]
    )
    assert figures["kappa"] > 0.8
    assert figures["auroc"] > 0.95
