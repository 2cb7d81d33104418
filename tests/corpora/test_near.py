"""The search for near-duplicates: it finds what is alike, never merges what only looks so, and costs the same
per row at any size.
"""

import random

import numpy as np
import pytest

from pipelines.corpora.cleaning.duplicates import near_duplicates
from pipelines.corpora.cleaning.essence import essence, may_be_one_question, reordered
from pipelines.corpora.cleaning.near import MAX_COMPARISONS, NearIndex, Sketcher, clusters
from pipelines.corpora.corpus_params import NearParams

SKETCHER = Sketcher(0.8, 3, 128)
RNG = random.Random(0)
VOCABULARY = [
    "".join(RNG.choice("abdefghklmnoprst") for _ in range(RNG.randrange(4, 9))) for _ in range(3000)
]


def prose(rng, number=40):
    return " ".join(rng.choice(VOCABULARY) for _ in range(number))


def bands(texts):
    return SKETCHER.bands(texts, np.zeros(len(texts), np.uint64))


def test_what_is_alike_is_found_and_confirmed_by_its_true_similarity():
    rng = random.Random(1)
    texts = [prose(rng) for _ in range(300)]
    # 2 of 40 words: 36 of 40 shingles stay
    changed = [text.rsplit(" ", 2)[0] + " indeed there" for text in texts]
    found = near_duplicates([*texts, *changed], NearParams())
    assert found == list(range(300, 600))
    assert SKETCHER.alike(texts[0], changed[0])
    assert not SKETCHER.alike(texts[0], texts[1])
    assert not SKETCHER.alike(texts[0], " ".join(texts[0].split()[:30] + texts[1].split()[:10]))
    assert len(NearIndex(bands(texts)).candidates(bands(changed))) >= 300


def test_empty_and_short_texts_have_bands_of_their_own():
    made = bands(["", "a", "a b", "a b c", "x y z w"])
    assert len({tuple(row) for row in made.tolist()}) == 5
    assert bands([]).shape == (0, SKETCHER.number)


@pytest.mark.parametrize("number", [400, 1600])
def test_cost_per_row_is_flat_where_all_rows_are_candidates(number):
    """Rows of one bucket in every band: each is compared with a bounded number of others, whether they are
    alike or not.
    """
    same = np.ones((number, SKETCHER.number), np.uint32)
    asked = []

    def never(one, other):
        asked.append((one, other))
        return False

    assert len(set(clusters(same, never).tolist())) == number
    assert len(asked) <= MAX_COMPARISONS * number
    asked.clear()
    assert set(clusters(same, lambda one, other: bool(asked.append((one, other))) or True).tolist()) == {0}
    assert len(asked) == number - 1  # clusters are merged once
    assert len(NearIndex(same).candidates(same)) <= (MAX_COMPARISONS + 4) * number


def test_questions_of_one_template_never_meet():
    texts = [
        f"Ann has {n} glass marbles in a box and finds {n * 7} more of them in the garden of her aunt. How many are there?"
        for n in range(300)
    ]
    assert near_duplicates(texts, NearParams()) == []
    essences = np.array([hash(essence(text)) % 2**63 for text in texts], np.uint64)
    made = SKETCHER.bands(texts, essences)
    assert all(len(set(column)) == len(texts) for column in made.T.tolist())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("the old man walks home", "an old man walks home", True),
        ("he isn't there at all", "he is there at all", False),
        ("Ann gives Ben a pen", "Ben gives Ann a pen", False),
        ("the dog bites a man", "the man bites a dog", False),
        ("how many more are there", "how many fewer are there", False),
        ("add three to it", "add four to it", False),
        ("it weighs 5 kg", "it weighs 5 mg", False),
        ("他不去学校", "他去学校", False),
        ("彼は三人を見た", "彼は五人を見た", False),
        ("he went to Paris then", "he went to London then", False),
        ('say "yes" to it', 'say "no" to it', False),
        ("the neighbour sells it", "the neighbor sells it", True),
        ("it is well-known here", "it is well known here", True),
        ("take x - 1 of it", "take x + 1 of it", False),
        ("it holds NO then", "it holds No then", False),
        ("tiene 3 años", "tiene 3 anos", False),
    ],
)
def test_what_may_be_one_question(one, other, same):
    assert may_be_one_question(one, other) is same
    assert not (same and reordered(one, other))
