"""From rows to sets: split by prompt, nothing leaks, every loss is counted, ids are those that later stages
need.
"""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.corpora.preferences.pair import Preference
from pipelines.corpora.preferences.preference_set import SourceItems
from pipelines.corpora.preferences.prompt_split import group_key
from tests.corpora.pairs_made import build_and_tokenise, byte_tokens, of, params


def made(prompt, chosen="a", rejected="b", side="train", **fields):
    return Preference(prompt, chosen, rejected, "made", side, **fields)


def test_9_2_20_ids(tmp_path):
    """Prompt of 3 tokens, answer of 2 and EOS: 6 ids, of which a DPO sum scores those at indices 2, 3, 4 of
    the shifted log-probs.
    """
    tokens = byte_tokens(tmp_path, "{query}")
    pair = build_and_tokenise("s", params(), SourceItems([made("abc", "xy", "z")]), tokens, {}, 0).pairs[
        "train"
    ][0]
    assert (len(pair.prompt_ids), len(pair.chosen_ids), pair.chosen_ids[-1]) == (3, 3, tokens.eos_id)
    whole = pair.prompt_ids + pair.chosen_ids
    assert len(whole) == 6
    assert [place for place in range(5) if place + 1 >= len(pair.prompt_ids)] == [2, 3, 4]
    assert tokens.decode(pair.chosen_ids) == "xy"
    assert pair.rejected_ids[-1] == tokens.eos_id
    assert tokens.eos_id not in pair.prompt_ids


def test_the_template_is_around_the_prompt(tmp_path):
    pair = of(tmp_path, [made("ask")]).pairs["train"][0]
    tokens = byte_tokens(tmp_path)
    assert pair.prompt_ids == tokens.encode_prompt("ask")
    assert pair.prompt_ids[0] == tokens.specials["<|user|>"]


def test_answers_are_cut_at_the_right_and_pairs_that_become_equal_are_dropped(tmp_path):
    rows = [made("p", "abcdef", "abcxyz"), made("q", "abcdef", "abx"), made("r", "abc", "abc\u200b")]
    whole = of(tmp_path, rows)
    assert len(whole.pairs["train"]) == 2
    assert whole.metrics["removed"] == {"equal_answers": 1}  # equal once cleaned
    cut = of(tmp_path, rows, max_answer_tokens=3)
    (pair,) = cut.pairs["train"]
    assert (len(pair.chosen_ids), len(pair.rejected_ids)) == (3, 3)
    assert byte_tokens(tmp_path).eos_id not in pair.chosen_ids + pair.rejected_ids
    assert cut.metrics["removed"] == {"equal_answers": 1, "equal_after_cut": 1}
    assert cut.metrics["cut"] == {"chosen": 1, "rejected": 1}
    short = of(tmp_path, [made("p", "abcdef", "ghi")], max_prompt_tokens=4, max_tokens=6).pairs["train"][0]
    assert len(short.prompt_ids) + len(short.chosen_ids) == 6  # the answer has what the prompt leaves


def test_ids_that_are_equal_though_the_texts_are_not(tmp_path):
    same = made("p", "one", "two", ids=((5, 6), (5, 6)))
    sets = of(tmp_path, [same, made("q")])
    assert sets.metrics["removed"] == {"equal_tokens": 1}


def test_a_long_prompt_is_dropped_and_counted(tmp_path):
    sets = of(tmp_path, [made("p" * 9), made("q")], max_prompt_tokens=8)
    assert [pair.prompt for pair in sets.pairs["train"]] == ["q"]
    assert sets.metrics["removed"] == {"long_prompt": 1}
    with pytest.raises(ValidationError, match="max_prompt_tokens must stay below max_tokens"):
        params(max_prompt_tokens=8, max_tokens=8)


def test_a_text_that_spells_a_special_token_is_no_pair(tmp_path):
    sets = of(tmp_path, [made("p", "<|end|>x"), made("q<|pad|>"), made("r")])
    assert [pair.prompt for pair in sets.pairs["train"]] == ["r"]
    assert sets.metrics["removed"] == {"not_encodable": 2}
    with pytest.raises(ValueError, match=r"2 of 3 rows are bad(.|\n)*contains the special token <\|end\|>"):
        of(tmp_path, [made("p", "<|end|>x"), made("q<|pad|>"), made("r")], max_bad_rows=0.5)


def test_ids_of_samples_travel_as_they_are(tmp_path):
    sampled = made("p", "xx ", "", ids=((7, 8, 9), (1,)))
    pair = of(tmp_path, [sampled]).pairs["train"][0]
    assert (pair.chosen, pair.chosen_ids, pair.rejected_ids) == ("xx ", [7, 8, 9], [1])


def test_duplicates_and_contradictions(tmp_path):
    rows = [
        made("p"),
        made("p "),
        made("p", "b", "a"),
        made("q"),
        made("q", "b", "c"),
        made("q"),
        made("r", "", "x"),
        made(" ", "x", "y"),
    ]
    sets = of(tmp_path, rows)
    assert sorted((pair.chosen, pair.rejected) for pair in sets.pairs["train"]) == [("a", "b"), ("b", "c")]
    assert sets.metrics["removed"] == {
        "duplicate": 2,
        "empty_answer": 1,
        "empty_prompt": 1,
        "contradiction": 2,
    }


def test_at_most_so_many_pairs_of_a_prompt_are_drawn(tmp_path):
    rows = [made("p", f"good {n}", "bad") for n in range(9)] + [made("q")]
    sets = of(tmp_path, rows, max_pairs_per_prompt=2)
    assert (sets.metrics["pairs"]["train"], sets.metrics["prompts"]["train"]) == (3, 2)
    assert sets.metrics["removed"] == {"over_max_pairs_per_prompt": 7}
    chosen = {pair.chosen for pair in sets.pairs["train"]}
    assert any(
        {pair.chosen for pair in of(tmp_path, rows, max_pairs_per_prompt=2, seed=seed).pairs["train"]}
        != chosen
        for seed in range(1, 9)
    )


def test_files_that_are_put_aside_stay_and_training_gives_way(tmp_path):
    near = {"near": {"threshold": 0.7, "shingle": 2}, "decontaminate": {"ngram": None, "near": True}}
    long = "how do I bake a dark bread with nuts and seeds at home in an old oven"
    rows = [
        made("the same prompt", side="heldout"),
        made("the same prompt", "c", "d"),
        made("The same prompt!", "e", "f", side="validation"),
        made(f"{long} please", side="heldout"),
        made(f"{long} thanks"),
        made("of the corpus", "c", "d"),
        made("of the corpus, on the side that is reported", side="heldout"),
        made("left alone"),
        made("topic one", key="t"),
        made("topic two", key="t", side="heldout"),
    ]
    sets = of(tmp_path, rows, {"heldout": ["Of the corpus."], "rl": ["topic two"]}, **near)
    assert [pair.prompt for pair in sets.pairs["train"]] == ["left alone"]
    assert len(sets.pairs["heldout"]) == 4
    assert not sets.pairs["validation"]
    assert sets.metrics["removed"] == {"train_in_heldout": 4, "validation_in_heldout": 1}
    leakage = sets.metrics["leakage"]
    assert (leakage["groups_on_two_sides"], leakage["keys_on_two_sides"], leakage["in_corpus_heldout"]) == (
        0,
        0,
        0,
    )
    assert leakage["heldout_in_corpus_training"] == 1
    assert leakage["train_gave_way"] == {"key": 1, "near": 1, "text": 1}


def test_limits_are_in_prompts(tmp_path):
    sets = of(tmp_path, [made(f"p{n}", chosen) for n in range(9) for chosen in "xy"], limits={"train": 3})
    assert (sets.metrics["prompts"]["train"], sets.metrics["pairs"]["train"], sets.metrics["removed"]) == (
        3,
        6,
        {"over_limits": 12},
    )


def test_nothing_left_says_what_took_it(tmp_path):
    with pytest.raises(
        ValueError, match=r"preferences made: no training pair is left of 2 rows \(equal_answers 2\)"
    ):
        of(tmp_path, [made("p", "a", "a"), made("q", "a", "a")])


def test_filters_move_no_prompt(tmp_path):
    flags = [(True, True), (True, False), (False, False)]
    rows = [
        made(f"p{n}", chosen_safe=flags[n % 3][0], rejected_safe=flags[n % 3][1], helpful=True, safer=True)
        for n in range(90)
    ]
    whole = of(tmp_path, rows, heldout_share=0.3)
    mixed = of(tmp_path, rows, heldout_share=0.3, filters={"dual_unsafe": True, "dual_safe": True})
    sides = {pair.prompt: side for side, pairs in whole.pairs.items() for pair in pairs}
    assert mixed.metrics["pairs"]["train"] + mixed.metrics["pairs"]["heldout"] == 30
    assert all(sides[pair.prompt] == side for side, pairs in mixed.pairs.items() for pair in pairs)
    assert mixed.responses == whole.responses


WORD = st.sampled_from(["", "a", "b", "A", "c d", "c  d", "é"])
ROW = st.builds(
    made,
    WORD,
    WORD,
    WORD,
    st.sampled_from(["train", "train", "validation", "heldout"]),
    key=st.sampled_from(["", "", "k", "l"]),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, max_size=12), st.randoms(use_true_random=False))
def test_every_row_is_a_pair_or_counted_and_order_leaves_no_trace(tmp_path, rows, random):
    rows = [made("surely here", key="surely"), *rows]
    values = {"heldout_share": 0.0, "validation_share": 0.4}
    rows = [replace(row, side="heldout") if row.key == "surely" else row for row in rows] + [
        made("train it", key="it")
    ]
    values["validation_share"] = 0.0
    sets = of(tmp_path, rows, {"heldout": ["c d"]}, **values)
    kept = sum(sets.metrics["pairs"].values())
    assert kept + sum(sets.metrics["removed"].values()) == len(rows)
    groups = [{pair.group for pair in pairs} for pairs in sets.pairs.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert all(pair.group == group_key(pair.prompt) for pairs in sets.pairs.values() for pair in pairs)
    assert group_key("c d") not in groups[0] | groups[1]
    random.shuffle(rows)
    assert of(tmp_path, rows, {"heldout": ["c d"]}, **values).pairs == sets.pairs


def test_a_row_that_a_file_puts_aside_outlives_its_copy_in_training(tmp_path):
    rows = [
        made("p"),
        made("p", side="heldout"),
        made("q", "b", "a"),
        made("q", "a", "b", side="heldout"),
        made("r"),
    ]
    sets = of(tmp_path, rows)
    assert [
        (pair.prompt, pair.chosen) for pair in sorted(sets.pairs["heldout"], key=lambda pair: pair.prompt)
    ] == [("p", "a"), ("q", "a")]
    assert sets.metrics["removed"] == {"duplicate": 1, "train_in_heldout": 1}
