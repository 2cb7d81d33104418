"""Normalising changes how a text is written, never what it says; comparing sees through how it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.cleaning.text import normalise


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\u00a0b\u202fc", "a b c"),  # no-break spaces
        ("a\u200bb\ufeffc\u00ad", "abc"),  # zero width, byte order mark, soft hyphen
        ("\uff11\uff0b\uff12", "1+2"),  # full width
        ("\ufb01ve", "five"),  # ligature
        # a power, a fraction, a set: full NFKC would make x2, 1/2, N of them
        ("x\u00b2 \u00bd \u2115", "x\u00b2 \u00bd \u2115"),
        ("e\u0301", "\u00e9"),
        ("a \t b \r\n  c  \n\n\n\nd\x00\n", "a b\nc\n\nd"),
    ],
)
def test_normalise(raw, clean):
    assert normalise(raw) == clean


@given(st.text(max_size=40))
def test_normalising_twice_is_normalising_once(text):
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It costs $1,000.", "it costs $1000", True),
        ("What is  3 + 4 ?", "what is 3+4", True),
        ("1.5 cups", "15 cups", False),
        ("max of 34 7", "max of 3 47", False),
        ("7-3", "7+3", False),
        ("f(x)=x^2", "f(x) = x^2", True),
    ],
)
def test_comparable(one, other, same):
    assert (canonical_form(one) == canonical_form(other)) is same
