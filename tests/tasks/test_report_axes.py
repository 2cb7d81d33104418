"""Labels of the report's axes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.ticker import MaxNLocator

from tasks.report_page.figures import as_percent


@given(st.floats(0, 1), st.floats(1e-3, 1))
def test_no_two_ticks_of_shares_have_the_same_label(low: float, span: float) -> None:
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, low + span)
    labels = [as_percent(tick) for tick in ticks]
    assert len(set(labels)) == len(labels)


def test_a_label_has_the_digits_that_it_needs() -> None:
    assert [as_percent(share) for share in (0.0, 0.045, 0.07, 0.75, 1.0)] == [
        "0 %",
        "4.5 %",
        "7 %",
        "75 %",
        "100 %",
    ]
