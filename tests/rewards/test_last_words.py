"""Answers by what stands around them (labels, courtesies, ends of turns), matrices by their cells, and what
takes none of it for an answer.
"""

from __future__ import annotations

import pytest

from pipelines.rewards.rules import math_answer
from tests.rewards.test_answer_families import boxed, misjudged


@pytest.fixture(scope="module", autouse=True)
def _ends():
    yield
    math_answer.workers().close()


LAST_WORDS = {  # response -> its answer; the second list must not pay for the value beside it
    "Total: $18": "18", "Total cost: 18 dollars": "18", "**Total:** 18": "18", "Sum: 9\nTotal: 18": "18", "**Total cost:** $18.50": "18.5",
    "She has 5 apples left.": "5", "There are 5 in total": "5", "Therefore, she has **5** apples left.": "5", "5 is the answer.": "5",
    "Therefore $x=\\frac{5}{6}$ is the solution.": "5/6", "The answer is 5/6 (about 0.83).": "5/6", "Answer → 5/6": "5/6", "Final answer -- 5": "5",
    "The answer is 5.<|eot_id|>": "5", "The answer is 5</s>": "5", "\\boxed{5}<|im_end|>\n": "5", "#### 5<|end|>": "5",
    "La respuesta es 5.": "5", "Die Antwort ist 5.": "5", "Ответ: 5": "5", "答え：5": "5", "정답: 5": "5", "Réponse : 5": "5", "Risposta: 5": "5",
    "\\boxed{2}\n\nThe answer is 2.0.": "2", "\\boxed{1,000}\n\nThe answer is 1000.": "1000", "2**3": "8",
    "The answer is three quarters": "3/4", "The answer is a dozen.": "12", "The answer is minus 3.": "-3",
}  # fmt: skip
NO_LAST_WORDS = [
    ("Sum: 9\nTotal: 18", "9"), ("Total: $18 or $20", "18"), ("Total: $18?", "18"), ("Example: the answer is 5", "5"), ("For example, the answer is 5", "5"),
    ("Tom thinks that the answer is 5", "5"), ("Is it true that the answer is 5", "5"), ("The old answer is 5", "5"), ("Another answer is 5", "5"),
     ("Previous total: 18", "18"), ("Total: 3, 18", "18"), ("She has 5 or 6 apples left.", "5"),
    ("She has 5 apples and 6 pears left.", "6"), ("She does not have 5 apples left.", "5"), ("There are about 5 left.", "5"),
    ("He ate 3 of the 5 left.", "5"), ("5 or 6 is the answer", "5"), ("5 is not the answer.", "5"), ("Is 5 the answer?", "5"),
    ("5 is the answer?", "5"), ("I doubt 5 is the answer.", "5"), ("x>5 is the answer", "5"), ("5 = 6 is the answer", "5"),
    ("The answer is 5 (or 6).", "5"), ("The answer is 5 (i.e. 6).", "6"), ("Answer -- not 5", "5"), ("La respuesta no es 5", "5"),
    ("La respuesta es 5 o 6", "5"), ("Die Antwort ist 5 oder 6.", "5"), ("¿La respuesta es 5?", "5"), ("答えは5ではない", "5"),
    ("\\boxed{2}\n\nThe answer is 3.", "2"), ("#### 2\nThe answer is 3.", "2"),
    ("<answer>2</answer>\nThe answer is 3.", "2"), ("<think>\n\\boxed{5}", "5"), ("<think>\nThe answer is 5.", "5"), ("<think>\n#### 5", "5"),
    ("The answer is two thirds.", "3"), ("The answer is minus 3.", "3"), ("The answer is 10 minus 3.", "-3"),
]  # fmt: skip


def test_labels_courtesies_and_ends_of_turns_around_an_answer():
    assert misjudged(list(LAST_WORDS.items()), "right") == []
    assert misjudged(NO_LAST_WORDS, "wrong") == []


MATRICES = [  # of 1 2 / 3 4
    r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}", r"\left[\begin{array}{cc}1 & 2 \\ 3 & 4\end{array}\right]", r"\begin{pmatrix}1&2\\3&4\\\end{pmatrix}",
    r"\left(\begin{array}{cc}1&2\\3&4\end{array}\right)", "[[1,2],[3,4]]", r"A=\begin{Bmatrix}1&\sqrt4\\\frac{6}{2}&4\end{Bmatrix}", r"A^{-1} = \begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}",
]  # fmt: skip
NOT_THAT_MATRIX = [
    r"\begin{pmatrix}1&3\\2&4\end{pmatrix}", r"\begin{pmatrix}1&2&3&4\end{pmatrix}", r"\begin{vmatrix}1 & 2\\3 & 4\end{vmatrix}", r"-\begin{pmatrix}1&2\\3&4\end{pmatrix}",
    r"\begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}^T", r"\begin{pmatrix}1 & 2\\3 & \end{pmatrix}", r"\left|\begin{array}{cc}1&2\\3&4\end{array}\right|",
    r"\begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}\text{ or }\begin{pmatrix}5 & 6\\7 & 8\end{pmatrix}",
]  # fmt: skip


@pytest.mark.parametrize(
    "reference", [r"\begin{bmatrix}1 & 2\\ 3 & 4\end{bmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"]
)
def test_matrices_are_compared_by_their_cells(reference: str):
    assert misjudged(boxed([(answer, reference) for answer in MATRICES]), "right") == []
    assert misjudged(boxed([(answer, reference) for answer in NOT_THAT_MATRIX]), "wrong") == []


SAME = [
    (r"x \ne 0", r"\mathbb{R}\setminus\{0\}"), (r"x \neq 0", r"(-\infty,0)\cup(0,\infty)"), (r"(-\infty,\infty)", r"\mathbb{R}"),
    (r"\text{all real numbers}", r"\mathbb{R}"), ("|x|<1", "(-1,1)"), (r"\lvert x\rvert \le 2", "[-2,2]"), ("1.234.567", "1234567"),
    (r"\quad 7", "7"), (r"7 \quad \checkmark", "7"), (r"\therefore x = 7", "7"), (r"\strut 7", "7"), (r"7\hfill", "7"), (r"\Rightarrow 7", "7"),
    ("20 yuan", "20元"), ("¥20", "20元"), (r"\text{none}", r"\emptyset"), (r"\text{DNE}", r"\text{does not exist}"),
    (r"5\text{ dollars and }25\text{ cents}", r"\$5.25"), (r"1\text{ hour and }15\text{ minutes}", r"75\text{ minutes}"),
    (r"\vec{v}=(1,2)", "(1,2)"), ("15", "<answer>15</answer>"), ("5 cm and 6 cm", "5 cm, 6 cm"),
]  # fmt: skip
OTHER = [
    (r"x \neq 0", r"x \ne 1"), ("5", r"x \ne 5"), (r"x \ne 5", "5"), (r"\mathbb{R}", r"(0,\infty)"), ("|x|<2", "[-2,2]"), ("|x|>1", "(-1,1)"),
    ("1.234", "1234"), (r"7 \quad 8", "7"), ("20元", r"\$20"), ("5 dollars and 25 cents", "25"), (r"\vec{v}=(2,1)", "(1,2)"),
    ("15", "<answer>16</answer>"), ("x^{-1}=5", "5"), (r"\mathbb{R}\setminus\{0,1\}", r"\mathbb{R}\setminus\{1\}"),
    (r"5\text{ kg and }3\text{ m}", r"5\text{ kg}"),
]  # fmt: skip


def test_more_spellings_of_one_value():
    assert misjudged(boxed(SAME), "right") == []
    assert misjudged(boxed(OTHER), "wrong") == []
