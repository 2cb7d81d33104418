"""The merge rule and the stacked filters on rows in PKU-SafeRLHF's layout: dpo_vs_ppo.md 1.3 and 9.2.27."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.preference_set_params import FilterParams
from pipelines.corpora.preferences.safety import apply_filters, class_of, merge_labels
from tests.corpora.pairs_made import from_rows


def row(number, safe, better=0, safer=1):
    """In the layout's own columns; the prompts differ, so that nothing is a duplicate."""
    return {
        "prompt": f"ask {number}",
        "response_0": "first answer",
        "response_1": "second answer",
        "is_response_0_safe": safe[0],
        "is_response_1_safe": safe[1],
        "better_response_id": better,
        "safer_response_id": safer,
    }


# the four rows of 1.3 with l_h = 1, l_s = 2, the mixed ones corrected to the safe response
ROWS = [row(1, (True, True)), row(2, (True, False), safer=0), row(3, (False, True)), row(4, (False, False))]


def preferred(sets):
    """prompt -> 1 or 2, as dpo_vs_ppo.md 1.3 numbers the responses."""
    return {pair.prompt[-1]: 1 if pair.chosen == "first answer" else 2 for pair in sets.pairs["train"]}


def test_9_2_27_merge_rule(tmp_path):
    sets = from_rows(tmp_path, "safe_rlhf", ROWS)
    assert preferred(sets) == {"1": 1, "2": 1, "3": 2, "4": 2}
    assert sets.metrics["classes"]["read"] == {"dual_safe": 1, "mixed": 2, "dual_unsafe": 1, "unflagged": 0}
    by_prompt = {pair.prompt[-1]: pair for pair in sets.pairs["train"]}
    assert [(by_prompt[n].helpful, by_prompt[n].safer) for n in "1234"] == [
        (True, False),
        (True, True),
        (False, True),
        (False, True),
    ]
    assert [(by_prompt[n].chosen_safe, by_prompt[n].rejected_safe) for n in "1234"] == [
        (True, True),
        (True, False),
        (True, False),
        (False, False),
    ]


def test_9_2_27_filters(tmp_path):
    unsafe_out = from_rows(tmp_path, "safe_rlhf", ROWS, filters={"dual_unsafe": True})
    assert preferred(unsafe_out) == {"1": 1, "2": 1, "3": 2}
    assert unsafe_out.metrics["removed"] == {"filter_dual_unsafe": 1}
    mixed = from_rows(tmp_path, "safe_rlhf", ROWS, filters={"dual_unsafe": True, "dual_safe": True})
    assert preferred(mixed) == {"2": 1, "3": 2}
    assert mixed.metrics["removed"] == {"filter_dual_safe": 1, "filter_dual_unsafe": 1}
    assert mixed.metrics["classes"]["train"] == {"dual_safe": 0, "mixed": 2, "dual_unsafe": 0, "unflagged": 0}


def test_the_filters_stack():
    with pytest.raises(ValidationError, match="dual_safe stacks on dual_unsafe"):
        FilterParams(dual_safe=True)


def test_a_mixed_pair_whose_safety_label_points_to_the_unsafe_answer_is_dropped(tmp_path):
    sets = from_rows(
        tmp_path, "safe_rlhf", [*ROWS, row(5, (True, False), safer=1), row(6, (False, True), safer=0)]
    )
    assert preferred(sets) == {"1": 1, "2": 1, "3": 2, "4": 2}
    assert sets.metrics["removed"] == {"mixed_prefers_unsafe": 2}


def test_labels_out_of_range_name_file_row_and_column(tmp_path):
    bad = [
        {**ROWS[0], "better_response_id": 2},
        {**ROWS[0], "safer_response_id": "1"},
        {**ROWS[0], "is_response_1_safe": 1},
        {key: value for key, value in ROWS[0].items() if key != "safer_response_id"},
        {**ROWS[0], "better_response_id": True},
    ]
    found = from_rows(tmp_path, "safe_rlhf", [*ROWS, *bad]).metrics["source"]
    assert [first.rpartition("/")[2] for first in found["first_bad"]] == [
        "rows.jsonl:5: better_response_id is 2, not one of 0, 1",
        "rows.jsonl:6: safer_response_id is '1', not one of 0, 1",
        "rows.jsonl:7: is_response_1_safe is 1, not true or false",
        "rows.jsonl:8: safer_response_id is missing, not one of 0, 1",
        "rows.jsonl:9: better_response_id is True, not one of 0, 1",
    ]


def test_responses_are_those_of_all_pairs_before_the_filters(tmp_path):
    sets = from_rows(tmp_path, "safe_rlhf", ROWS, filters={"dual_unsafe": True, "dual_safe": True})
    assert sorted((record.prompt[-1], record.response, record.answer) for record in sets.responses) == [
        ("1", "first answer", "safe"),
        ("1", "second answer", "safe"),
        ("2", "first answer", "safe"),
        ("2", "second answer", "unsafe"),
        ("3", "first answer", "unsafe"),
        ("3", "second answer", "safe"),
        ("4", "first answer", "unsafe"),
        ("4", "second answer", "unsafe"),
    ]
    assert sets.metrics["responses"] == {"safe": 4, "unsafe": 4}


def test_a_filter_needs_flags():
    with pytest.raises(ValueError, match=r"filters\.dual_unsafe: no pair of this set has safety flags"):
        apply_filters([Preference("p", "a", "b", "s")], FilterParams(dual_unsafe=True))


FLAG, LABEL = st.booleans(), st.sampled_from([None, True, False])


@given(st.lists(st.tuples(FLAG, FLAG, LABEL, LABEL), max_size=12))
def test_after_the_merge_a_safe_answer_never_loses_to_an_unsafe_one(labels):
    rows = [Preference(str(n), "a", "b", "s", "train", *label) for n, label in enumerate(labels)]
    merged, removed = merge_labels(rows)
    assert len(merged) + removed.total() == len(rows)
    for one in merged:
        assert one.chosen_safe or not one.rejected_safe
        assert (one.helpful if class_of(one) == "dual_safe" else one.safer) is True
    assert merge_labels(merged) == (merged, {})  # nothing is left to decide
    assert {one.prompt for one in merge_labels([one.swapped() for one in rows])[0]} == {
        one.prompt for one in merged
    }


def test_the_rule_as_a_table():
    """Every combination of flags and labels against the table of 1.3, written out a second time."""
    for safe_1, safe_2, l_h, l_s in itertools.product((True, False), (True, False), (1, 2), (1, 2)):
        one = Preference("p", "1", "2", "s", "train", safe_1, safe_2, l_h == 1, l_s == 1)
        wanted = {(True, True): l_h, (False, False): l_s, (True, False): 1, (False, True): 2}[safe_1, safe_2]
        if safe_1 != safe_2 and l_s != wanted:
            assert merge_labels([one]) == ([], {"mixed_prefers_unsafe": 1})
        else:
            assert [found.chosen for found in merge_labels([one])[0]] == [str(wanted)]
