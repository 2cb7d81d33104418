"""What the strong rule is made of: extraction, numbers, units. Properties beside worked cases."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.rewards.answers.answer_text import normalize
from pipelines.rewards.answers.equivalence import compare_without_symbolic
from pipelines.rewards.answers.extraction import (
    extract_final_answer,
    extract_reference,
    last_boxed,
    last_line,
    without_lead_in,
)
from pipelines.rewards.answers.numerals import parse_number, same_number
from pipelines.rewards.answers.units import parse_quantity, parse_unit, same_quantity


def test_final_step_identity_4():
    assert last_line("a\n\nTherefore, the answer is 5.\n  \n") == "Therefore, the answer is 5."
    assert last_line("") == last_line("\n \t") == ""


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("work\n#### 1,234", "1,234"),
        ("\\boxed{\\frac{1}{2}} and more words", "\\frac{1}{2}"),
        ("\\boxed{a}\n\\boxed{ {b} }", "{b}"),
        ("\\fbox{7}", "7"),
        ("\\boxed 7 is it", "7"),
        ("one\nThe final answer is: **42**", "42"),
        ("Final Answer: The final answer is 5. I hope it is correct.", "5"),
        ("结论\n故答案为：\\frac{1}{2}", "\\frac{1}{2}"),
        ("So the answer is x = 5", "x = 5"),
        ("所以答案是：五", "五"),
        ("A: 18", "18"),
        ("Therefore, the answer is", "the answer is"),
    ],
)
def test_extraction(text, answer):
    assert extract_final_answer(text).text == answer


def test_references_of_worked_solutions():
    assert extract_reference("steps\n#### 12") == "12"
    assert extract_reference("so \\boxed{\\{1,2\\}}.") == "\\{1,2\\}"
    assert last_boxed("\\boxed{1") is None
    assert without_lead_in("Thus, the result is 7") == "7"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234,567", 1234567), ("-.5", Fraction(-1, 2)), ("3 1/2", Fraction(7, 2)), (r"3\frac{1}{2}", Fraction(7, 2)), (r"-\frac34", Fraction(-3, 4)),
        ("1.5e-3", Fraction(3, 2000)), (r"1.5 \times 10^{-3}", Fraction(3, 2000)), ("10^{3}", 1000), ("3:2", Fraction(3, 2)), ("12.5%", Fraction(1, 8)),
        ("two hundred and five", 205), ("negative seven", -7), ("half", Fraction(1, 2)), ("三百零五", 305), ("两万", 20000), ("十二", 12), ("负三", -3),
    ],
)  # fmt: skip
def test_numbers(text, value):
    assert parse_number(normalize(text)).value == value


@pytest.mark.parametrize(
    "text", ["", "x", "1,23", "5x", "1e9999", "1/0", "--5", "1.2.3", "9" * 500, "hundred", "3 5/2"]
)
def test_no_numbers(text):
    assert parse_number(normalize(text)) is None


@given(st.integers(-(10**9), 10**9))
def test_a_whole_number_is_itself_in_every_spelling(value):
    for text in (str(value), f"{value:,}", f"{value}.0", f"${value}$", f"{value}/1"):
        assert same_number(parse_number(normalize(text)), parse_number(str(value)))


@given(st.decimals(min_value=-1000, max_value=1000, places=6, allow_nan=False))
def test_rounding_needs_four_digits_of_an_answer_and_three_of_a_reference(value):
    exact = parse_number(f"{value:f}")
    for digits in range(6):
        rounded = parse_number(f"{round(value, digits):f}")
        if same_number(rounded, exact):
            assert rounded.value == exact.value or rounded.digits >= 4
        if same_number(exact, rounded):
            assert rounded.value == exact.value or rounded.digits >= 3


def test_tiny_numbers_are_told_apart():
    assert not same_number(parse_number("1e-7"), parse_number("2e-7"))
    assert not same_number(parse_number("0.0000001"), parse_number("0.0000002"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5 cm", "0.05 m"), ("1 atm", "101325 Pa"), ("36 km/h", "10 m/s"), ("36 kilometers per hour", "10 m s^{-1}"), ("2 h 30 min", "150 min"),
        ("1 L", "1 dm^3"), ("3 square meters", "3 m^2"), ("1 kJ mol^{-1}", "1000 J/mol"), (r"2 \mu C", "2e-6 C"), ("25 ℃", "298.15 K"),
        (r"10 \mathrm{~N} / \mathrm{C}", "10 N/C"), ("5 ft-lb", "5 ft lb"), (r"3 \frac{\mathrm{K}}{\mathrm{m}}", "3 K/m"), ("2 KJ", "2000 J"),
        ("3 厘米", "3 cm"), ("180°", "180 degrees"), ("5 people", "5 peoples"),
    ],
)  # fmt: skip
def test_equal_quantities(one, other):
    first, second = parse_quantity(normalize(one)), parse_quantity(normalize(other))
    assert same_quantity(first, second)[0]
    assert same_quantity(second, first)[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [("5 cm", "5 m"), ("5 s", "5 m"), ("5 J", "5 J/mol"), ("5 apples", "5 cm"), ("2 h", "2 min")],
)
def test_other_quantities(one, other):
    assert not same_quantity(parse_quantity(normalize(one)), parse_quantity(normalize(other)))[0]


def test_a_missing_unit_is_forgiven_unless_required():
    assert same_quantity(parse_quantity("5"), parse_quantity("5 cm"))[0]
    assert same_quantity(parse_quantity("5"), parse_quantity("5 cm"), require_units=True) == (
        False,
        "no unit",
    )
    assert parse_quantity("5m") is None  # five times m
    assert parse_unit("xyzzy") is None
    assert parse_unit("m^{99}") is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(min_size=1, max_size=20))
def test_no_text_breaks_the_quick_rules(answer, reference):
    extract_final_answer(answer)
    found = compare_without_symbolic(answer, reference)
    assert found is None or found.outcome in ("right", "wrong")
    assert compare_without_symbolic(reference, reference).outcome == "right"
