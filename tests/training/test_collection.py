"""Dynamic sampling, verdicts that are errors or no numbers, and the figures of a rollout, against a scripted
engine and checker.
"""

import math
from types import SimpleNamespace

import pytest

from pipelines.corpora.records.record import Record
from pipelines.rewards.judge import RuleJudge
from pipelines.rewards.rules import final_answer
from pipelines.rewards.verdict import Verdict, error, right, wrong
from pipelines.training.collection import Collector
from pipelines.training.guard import NotFinite
from pipelines.training.policy_params import PolicyParams
from pipelines.training.policy_parts import Generation
from tests.rollouts.scripted import EOS, ScriptedEngine, never_ends

TOKENS = SimpleNamespace(decode_batch=lambda rows: [" ".join(map(str, row)) for row in rows])
KINDS = {
    "1": right(),
    "0": wrong("no"),
    "e": error("crashed"),
    "n": Verdict("right", math.nan),
    "i": Verdict("wrong", -math.inf),
}


def problem(name, outcomes):
    """`outcomes` holds the verdict of each sample: 1 right, 0 wrong, e error, n NaN, i infinite."""
    return Record(name, name, None, outcomes, "s", 1, "t", [ord(name[0]) - ord("a") + 100], None)


def in_turn():
    """The n-th response to a prompt is the token n, n times, and EOS; after the fourth they begin again."""
    turns = {}

    def script(prefix, key, position):
        seen = turns.setdefault(prefix[0], {})
        turn = seen.setdefault(key, len(seen)) % 4 + 1
        return turn if position < turn else EOS

    return script


def check(text, answer, finished):
    return KINDS[answer[int(text.split()[0]) - 1]]


@pytest.fixture(autouse=True)
def checker(monkeypatch):
    monkeypatch.setattr("pipelines.rewards.rules.final_answer.check", check)


def collector(script=None, **settings):
    settings = {"prompts": 2, "sampler": {"kind": "flat", "samples": 4}, "max_error_share": 1.0} | settings
    made = Collector(
        Generation(ScriptedEngine(script or in_turn()), TOKENS),
        RuleJudge(final_answer),
        PolicyParams.model_validate(settings),
        0,
    )
    made.said = []
    made.say = made.said.append
    return made


def drawing(*rounds):
    """(round, count) -> the problems of that round; remembers what was asked."""
    asked = []

    def draw(number, count):
        asked.append((number, count))
        return list(rounds[number])

    draw.asked = asked
    return draw


FOUR = [problem("a", "1111"), problem("b", "0000"), problem("c", "1010"), problem("d", "0001")]


def test_decided_groups_are_replaced():
    """entropy.md 7.16: accuracies 1, 0, 1/2, 1/4 and a target of two keep the third and the fourth."""
    made, draw = collector(refill={"prompts": 2, "rounds": 3}), drawing(FOUR[:2], FOUR[2:])
    rollout = made.collect(draw, 0)
    assert [record.id for record in rollout.problems] == ["c", "d"]
    assert [prompt.id for prompt in rollout.forest.prompts] == ["c", "d"]
    assert rollout.rewards == [1, 0, 1, 0, 0, 0, 0, 1]
    assert draw.asked == [(0, 2), (1, 2)]
    figures = rollout.figures
    assert (figures["refill_rounds"], figures["refill_missing"], figures["refill_surplus"]) == (2, 0, 0)
    assert figures["accuracy"] == pytest.approx(7 / 16), "of all that was sampled, not of what was kept"
    assert (figures["all_right"], figures["all_wrong"]) == (0.25, 0.25)
    assert figures["sampled_tokens"] == 4 * (2 + 3 + 4 + 5)
    assert figures["length"] == pytest.approx(3.5)
    assert figures["finished"] == 1
    assert made.said == []
    _, rows = rollout.training_rows()
    assert [row.question for row in rows] == ["c"] * 4 + ["d"] * 4
    assert rows[1].ids == (2, 2, EOS)


def test_right_answers_of_unequal_length_are_no_signal():
    """entropy.md 7.16: the filter looks at verdicts, not at rewards with a length penalty."""
    shaping = {"overlong": {"limit": 5, "cache": 3}}
    plain = collector(shaping=shaping).collect(drawing(FOUR[:1]), 0)
    assert len(set(plain.rewards)) == 4, "the rewards do differ"
    refilled = collector(prompts=1, shaping=shaping, refill={"prompts": 1, "rounds": 2}).collect(
        drawing(FOUR[:1], FOUR[2:3]), 0
    )
    assert [record.id for record in refilled.problems] == ["c"]


def test_more_than_wanted_is_cut_and_counted():
    rollout = collector(prompts=1, refill={"prompts": 2, "rounds": 2}).collect(drawing(FOUR[:1], FOUR[2:]), 0)
    assert [record.id for record in rollout.problems] == ["c"]
    assert rollout.figures["refill_surplus"] == 1


@pytest.mark.parametrize(
    ("refill", "reason", "rounds"),
    [
        ({"rounds": 2}, "after 2 rounds", 2),
        ({"rounds": 9, "max_tokens": 20}, "after max_tokens 20", 1),
        ({"rounds": None, "max_tokens": 20}, "after max_tokens 20", 1),
    ],
)
def test_what_ends_the_search_is_said(refill, reason, rounds):
    draw = drawing([FOUR[0], FOUR[2]], FOUR[:2])
    made = collector(refill={"prompts": 2} | refill)
    rollout = made.collect(draw, 7)
    assert [record.id for record in rollout.problems] == ["c"], "the iteration goes on with what there is"
    assert made.said == [f"iteration 7: 1 of 2 prompts have answers of both kinds {reason}"]
    assert (rollout.figures["refill_missing"], rollout.figures["refill_rounds"]) == (1, rounds)
    with pytest.raises(
        RuntimeError, match=rf"{reason}: choose problems nearer to the policy's ability.*go_on"
    ):
        collector(refill={"prompts": 2, "exhausted": "stop"} | refill).collect(
            drawing([FOUR[0], FOUR[2]], FOUR[:2]), 7
        )


@pytest.mark.parametrize(
    "shaping",
    [
        {},
        {"wrong_score": -1.0, "overlong": {"limit": 8, "cache": 3}},
        {"clip": 1.0, "normalise": "batch"},
        {"normalise": "group"},
    ],
)
def test_no_prompt_at_all_is_left(shaping):
    rollout = collector(shaping=shaping, refill={"prompts": 2, "rounds": 2}).collect(
        drawing(FOUR[:2], FOUR[:2]), 0
    )
    assert rollout.training_rows() == ([], [])
    assert rollout.figures["refill_missing"] == 2
    assert rollout.figures["accuracy"] == 0.5


def test_the_same_problem_gets_other_samples_each_time():
    """Twice in a round, and again in a later one; the first time as without dynamic sampling."""
    seen = []

    def script(prefix, key, position):
        seen.append(key)
        return EOS if position == 3 else 1 + never_ends(prefix, key, position) % 4

    alone = collector(script).collect(drawing([FOUR[1]]), 0)
    keys = set(seen)
    seen.clear()
    collector(script, refill={"prompts": 1, "rounds": 3}).collect(
        drawing([FOUR[1], FOUR[1]], [FOUR[1]], [FOUR[1]]), 0
    )
    assert len(set(seen)) == 16
    assert keys < set(seen)
    assert len(alone.forest.nodes) == 4


def test_an_error_is_excluded_or_counts_as_wrong():
    groups = [problem("a", "11e1"), problem("b", "0eee")]
    excluded = collector().collect(drawing(groups), 0)
    assert [math.isnan(value) for value in excluded.rewards] == [
        False,
        False,
        True,
        False,
        False,
        True,
        True,
        True,
    ]
    nodes, rows = excluded.training_rows()
    assert nodes == [0, 1, 3, 4], "a row without a verdict would get an advantage from whitening"
    assert len(rows) == 4
    assert excluded.figures["errors"] == 4
    assert excluded.figures["accuracy"] == 0.75
    counted = collector(on_error="wrong", shaping={"wrong_score": -1.0}).collect(drawing(groups), 0)
    assert counted.rewards == [1, 1, -1, 1, -1, -1, -1, -1]
    assert len(counted.training_rows()[0]) == 8


@pytest.mark.parametrize(("on_error", "kept"), [("exclude", []), ("wrong", ["a"])])
def test_refill_takes_errors_as_configured(on_error, kept):
    made = collector(prompts=1, on_error=on_error, refill={"prompts": 1, "rounds": 1})
    assert [record.id for record in made.collect(drawing([problem("a", "11e1")]), 0).problems] == kept


@pytest.mark.parametrize("outcomes", ["11n1", "00i0"])
@pytest.mark.parametrize("shaping", [{}, {"clip": 1.0}, {"normalise": "batch"}, {"normalise": "group"}])
def test_a_score_that_is_no_number_is_named(outcomes, shaping):
    """Before shaping: clipping would hide an infinite score, and a NaN looks like a missing verdict."""
    with pytest.raises(NotFinite, match="verdict's score") as caught:
        collector(shaping=shaping).collect(drawing([FOUR[2], problem("b", outcomes)]), 0)
    assert caught.value.row.question == "b"
    assert caught.value.row.ids == (3, 3, 3, EOS)
