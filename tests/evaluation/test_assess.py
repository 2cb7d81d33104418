"""An assessment with a real, tiny model: figures against plain recomputation, and what is absent where
nothing grades.
"""

import json

import pytest
import torch

from pipelines.corpora.preferences.pair import Pair
from pipelines.evaluation.assess import Graders, Policy, assess
from pipelines.evaluation.assessment_params import AssessParams
from pipelines.models.logprobs import score
from pipelines.rewards.judge import RuleJudge
from pipelines.rewards.rules import final_answer
from pipelines.rollouts.engines.local import LocalEngine
from tests.tiny import CPU, make_records, make_tiny_model, make_tiny_tokens

SETTINGS = AssessParams(
    samples=3,
    reference_samples=8,
    sampling={"max_new_tokens": 12},
    degenerate={"period": 2, "repeats": 2, "tokens": 3},
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return make_tiny_tokens(tmp_path_factory.mktemp("tokens"))


def policy(tokens, seed, scale=1.0):
    """The last states times `scale`: a tiny untrained model repeats its last token where it is large, and
    shuns it where it is negative.
    """
    model = make_tiny_model(tokens, seed)
    with torch.no_grad():
        model.base_model.norm.weight.mul_(scale)
    return Policy(model, LocalEngine(model, tokens, CPU))


def pairs(tokens, count):
    right = tokens.encode_response
    return [
        Pair(
            f"p{place}",
            "1+1",
            "#### 2",
            f"#### {place}",
            "tiny",
            tokens.encode_prompt("1+1"),
            right("#### 2"),
            right(f"#### {place}9"),
            f"g{place}",
        )
        for place in range(count)
    ]


def length(rows):
    return torch.tensor([float(len(row.ids)) - 6 for row in rows])


GRADERS = Graders(RuleJudge(final_answer), length, lambda rows: -length(rows), lambda text: "7" not in text)


@pytest.fixture(scope="module")
def found(tokens):
    records = make_records(tokens, 20)
    return assess(
        policy(tokens, 0, -10.0),
        policy(tokens, 1, 10.0),
        tokens,
        records,
        GRADERS,
        pairs(tokens, 4),
        SETTINGS,
        0,
        64,
    )


def test_every_figure_is_that_of_the_rows(found, tokens):
    figures, rows = found
    assert len(rows) == figures["answers"] == 60
    assert figures["accuracy"]["right"] == sum(row["verdict"] == "right" for row in rows)
    assert figures["reward"]["mean"] == pytest.approx(sum(len(row["ids"]) - 6 for row in rows) / 60)
    assert figures["cost"]["mean"] == pytest.approx(-figures["reward"]["mean"])
    assert figures["safety"]["cost"]["right"] == sum(len(row["ids"]) > 6 for row in rows)
    assert figures["safety"]["rule"]["right"] == sum("7" not in row["text"] for row in rows)
    assert figures["degenerate"]["right"] == sum(bool(row["faults"]) for row in rows)
    assert figures["kl"]["sequence"]["mean"] == pytest.approx(
        sum(row["logprob"] - row["reference_logprob"] for row in rows) / 60
    )
    assert figures["implicit"]["pairs"] == 4
    json.dumps([figures, rows], allow_nan=False)


def test_log_probs_are_those_of_each_answer_alone(found, tokens):
    model, record = make_tiny_model(tokens, 0), make_records(tokens, 1)[0]
    with torch.no_grad():
        model.base_model.norm.weight.mul_(-10.0)
        row = found.rows[1]
        ids = torch.tensor([record.prompt_ids + row["ids"]])
        plain = score(model, ids, torch.arange(ids.shape[1])[None] >= len(record.prompt_ids)).logprobs.sum()
    assert row["id"] == record.id
    assert row["logprob"] == pytest.approx(float(plain), abs=1e-3)


def test_a_policy_far_away_is_out_of_distribution(found):
    assert found.figures["out_of_distribution"]["share"] > 0.5
    assert found.figures["kl"]["sequence"]["low"] > 0


def test_the_reference_itself_has_no_distance(tokens):
    one = policy(tokens, 0, 2.0)
    settings = SETTINGS.model_copy(update={"samples": 8})
    figures = assess(
        one, one, tokens, make_records(tokens, 40), Graders(), pairs(tokens, 3), settings, 0, 64
    ).figures
    assert figures["kl"]["sequence"]["mean"] == 0
    assert figures["implicit"]["ties"] == 3
    assert figures["out_of_distribution"]["share"] < 0.05
    assert figures["accuracy"] is figures["reward"] is figures["cost"] is None
    assert figures["safety"] == {"cost": None, "rule": None}


def test_without_pairs_there_is_no_implicit_reward_and_without_prompts_nothing(tokens):
    one = policy(tokens, 0)
    assert (
        assess(one, one, tokens, make_records(tokens, 2), Graders(), [], SETTINGS, 0, 64).figures["implicit"]
        is None
    )
    with pytest.raises(ValueError, match="no held-out prompt"):
        assess(one, one, tokens, [], Graders(), [], SETTINGS, 0, 64)


def test_it_repeats_and_its_answers_do_not_depend_on_the_budget(found, tokens):
    records = make_records(tokens, 20)
    again = assess(
        policy(tokens, 0, -10.0),
        policy(tokens, 1, 10.0),
        tokens,
        records,
        GRADERS,
        pairs(tokens, 4),
        SETTINGS,
        0,
        64,
    )
    assert again == found
    wider = assess(
        policy(tokens, 0, -10.0),
        policy(tokens, 1, 10.0),
        tokens,
        records,
        GRADERS,
        pairs(tokens, 4),
        SETTINGS,
        0,
        4096,
    )
    assert [row["ids"] for row in wider.rows] == [row["ids"] for row in found.rows]
    assert wider.figures["kl"]["sequence"]["mean"] == pytest.approx(
        found.figures["kl"]["sequence"]["mean"], abs=1e-4
    )


def test_a_truncated_distribution_is_measured_as_it_was_sampled(tokens):
    one = policy(tokens, 0, 4.0)
    settings = AssessParams(samples=4, reference_samples=2, sampling={"max_new_tokens": 8, "top_k": 2})
    figures = assess(one, one, tokens, make_records(tokens, 10), Graders(), [], settings, 0, 64).figures
    # the kept tokens are likelier than under the whole distribution
    assert figures["kl"]["sequence"]["low"] > 0
