"""Families of final answers (the cases are handed over in `math_answers.jsonl`): relatives of each, and what
only looks like one.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from itertools import pairwise

import pytest

from pipelines.rewards.answers.extraction import extract_final_answer, reason_no_final_answer
from pipelines.rewards.judge import RuleJudge
from pipelines.rewards.rules import math_answer
from pipelines.rewards.rules.math_answer import check, check_many
from pipelines.rewards.scoring import CheckerFailed, preflight
from tests.cases import case
from tests.corpora.made import real


@pytest.fixture(scope="module", autouse=True)
def _ends():
    yield
    math_answer.workers().close()


def misjudged(rows: Sequence[tuple[str, str]], expected: str) -> list[tuple[str, str, str]]:
    verdicts = check_many([(text, reference, True) for text, reference in rows])
    return [
        (text, reference, verdict.outcome)
        for (text, reference), verdict in zip(rows, verdicts, strict=True)
        if verdict.outcome != expected
    ]


def boxed(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(rf"So it is \boxed{{{answer}}}.", reference) for answer, reference in pairs]


def test_every_handed_case():
    rows = [json.loads(line) for line in case("math_answers.jsonl").read_text("utf-8").splitlines()]
    verdicts = check_many([(row["response"], row["reference"], True) for row in rows])
    assert [
        (row, verdict) for row, verdict in zip(rows, verdicts, strict=True) if verdict.outcome != row["right"]
    ] == []


PLACES = [  # responses whose answer is 3/4, by where it stands
    "The answer is\n$$\n\\frac{3}{4}\n$$", "The answer is:\n\n\\[\n\\frac{3}{4}\n\\]\n", "Thus\n\\begin{align*}\nx &= \\frac{6}{8} \\\\\n&= \\frac{3}{4}\n\\end{align*}",
    "We get\n\\begin{equation}\nx = 0.75\n\\end{equation}", "$$x = \\frac{3}{4}.$$", "**Answer**\n\n3/4", "### Final answer\n\n$\\frac34$", "## Answer\n\\[\n\\frac{3}{4}\n\\]",
    "**Final Answer:** 3/4\n\nLet me know if you have questions!", "The final answer is $3/4$. I hope it is correct.", "Answer: 3/4\n\nI hope this helps!", "So the answer is 3/4.\n\nFeel free to ask for more.",
    "<answer>3/4</answer>", "<answer>\n\\boxed{\\frac34}\n</answer>", "<think>it may be 5</think>\n<answer> 0.75 </answer>\n", "<answer>The answer is 3/4.</answer>", "reasoning</think>\n\nThe answer is 3/4",
    "Final answer:\n\n```\n3/4\n```", "#### 3/4\n\n#### Explanation\nSix over eight.", "#### Step 1: add\n6/8\n#### Answer\n3/4", "The answer is 3/4, since 6/8 can be reduced.", "Therefore the answer is 3/4 (because 6/8 = 3/4).",
    "答案是\n$$\n\\frac{3}{4}\n$$", "【答案】3/4", "综上，答案为：3/4。\n希望对你有帮助！", "The result is 3/4. ∎", "The answer is 3/4. $\\square$", "Hence, we find that the answer is $\\frac{3}{4}$, as required.",
    "\\boxed{\\frac34}\n\nThis matches the estimate.", "The answer is 3/4.\n\nExplanation: six over eight is reduced by two.", "*Answer*: **3/4**", "> Answer: 3/4", "The answer to the question is: 3/4",
]  # fmt: skip


@pytest.mark.parametrize("text", PLACES)
def test_where_an_answer_stands(text: str):
    assert check(text, r"\frac{3}{4}", True).outcome == "right", extract_final_answer(text)
    assert check(text, r"\frac{4}{3}", True).outcome == "wrong"


NOWHERE = [  # the reference, 5, stands in them; nobody says that it is the answer
    "The answer is 5. Wait, that is wrong.", "\\boxed{5}\nWait, I made a mistake: it is \\boxed{6}", "#### 5\nActually, no. The answer is 6.", "<answer>5</answer>\nScratch that, it is 6.", "Is the answer 5?",
    "The answer is 5. Let me redo this. The answer is 6.", "<think>5</think>", "The answer is not \\boxed{5}", "If the answer is 5, we are done.", "We check whether the answer is 5.", "#### 5\n#### 6",
    "<answer>5</answer><answer>6</answer>", "\\boxed{5} or \\boxed{6}", "\\boxed{5} and \\boxed{6}", "Let $x = 5$.", "2 + 3 = 5\nNow we go on.", "First we add.\n2 + 3 = 5", "Suppose it is 5.", "The answer is 5 or so, I am not sure.",
    "The answer is at least 5.", "<answer></answer>\n", "Answer:\n\nI cannot say whether it is 5.", "The answer is 5?", "#### Step 5", "The answer is 6.\n\n#### Explanation\nIt is not 5.", "答案是5吗？", "答案不是5。", "可能是5。",
    "\\boxed{5} is incorrect.", "\\boxed{5} is not the answer.", "It is not true that the answer is 5.", "The answer used to be 5.", "5 is not the answer.", "One answer is 5, another answer is 6.", "The wrong answer is 5.", "Previous answer: 5",
    "The answer is 6, I mean 5? No.", "The answer is 5? The answer is 6?", "The answer is certainly not 5.", "\\boxed{5}\n\nSo the answer is 6.",
]  # fmt: skip


@pytest.mark.parametrize("text", NOWHERE)
def test_no_answer_stands(text: str):
    assert check(text, "5", True).outcome == "wrong", extract_final_answer(text)


SAME: dict[str, Sequence[tuple[str, str]]] = {
    "times": [
        ("3:30 PM", "15:30"), ("15:30", "3:30 p.m."), ("3{:}30 \\text{ p.m.}", "3:30 PM"), ("7 PM", "7:00 p.m."), ("7:00 \\text{ AM}", "7:00"), ("12:00", "noon"), ("12:00 AM", "midnight"), ("0:30", "12:30 a.m."),
        ("06:15", "6:15"), ("6:15", "6{:}15"), ("下午3点30分", "15:30"), ("上午7点", "7:00 AM"), ("1:02:03", "01:02:03"), ("12:45 p.m.", "12:45"), ("3:30 in the afternoon", "3:30 PM"),
    ],
    "ratios": [("3:4", "\\frac34"), ("3 : 4", "3:4"), ("6:8", "3:4"), ("2:1", "2"), ("1:3", "1/3"), ("10:4", "5:2"), ("1{:}2", "1:2"), ("0.5:1", "1:2"), ("7:10", "0.7"), ("100:3", "\\frac{100}{3}")],
    "percent": [
        ("25\\%", "25"), ("25 %", "25\\%"), ("0.25", "25\\%"), ("\\frac14", "25\\%"), ("25\\text{ percent}", "25"), ("12.5\\%", "12\\frac12"), ("150\\%", "1.5"), ("\\frac{1}{8}", "12.5\\%"), ("100\\%", "1"), ("0.5\\%", "0.5"), ("33\\frac13\\%", "1/3"),
    ],
    "equations": [
        ("2x+3=y", "y=2x+3"), ("y-2x=3", "y=2x+3"), ("2y=4x+6", "y=2x+3"), ("x=\\frac{y-3}{2}", "y=2x+3"), ("5=x", "x=5"), ("x=5", "5=x"), ("0=x+y", "y=-x"), ("x^2+y^2=4", "\\frac{x^2}{4}+\\frac{y^2}{4}=1"), ("b=a", "a=b"),
        ("3x-4y=-25", "4y-3x=25"), ("xy=6", "y=\\frac6x"), ("y=3+2x", "y=2x+3"), ("x+1=y", "y=x+1"), ("a^2+b^2=c^2", "c^2=a^2+b^2"),
    ],
    "tuples": [
        ("y=2, x=1", "(1,2)"), ("(x,y)=(1,2)", "(1,2)"), ("(1,2)", "(x,y)=(1,2)"), ("\\langle 1,2 \\rangle", "(1,2)"), ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1,2)"), ("x=1,\\quad y=2", "(1,2)"), ("z=3, y=2, x=1", "(1,2,3)"),
        ("(x,y) = (3,4), (1,2)", "(1,2),(3,4)"), ("b=4, a=3", "a=3, b=4"), ("x_1=2, x_2=1", "1,2"), ("(a, b, c) = (1, 2, 3)", "(1,2,3)"), ("x=1 \\text{ and } y=2", "(1,2)"),
    ],
    "repeating": [
        ("0.\\overline{3}", "\\frac13"), ("0.(3)", "1/3"), ("0.\\dot{3}", "1/3"), ("0.1\\overline{6}", "\\frac16"), ("0.\\overline{142857}", "\\frac17"), ("1.\\overline{3}", "\\frac43"), ("-0.\\bar{3}", "-\\frac13"), ("0.333...", "\\frac13"),
        ("\\frac{3}{11}", "0.\\overline{27}"), ("0.\\dot{2}\\dot{7}", "3/11"), ("0.\\overline{9}", "1"), ("0.1666\\ldots", "1/6"),
    ],
    "commas": [
        ("3{,}5", "3.5"), ("0{,}125", "0.125"), ("1{,}234", "1234"), ("1{,}234{,}567", "1234567"), ("1.234{,}5", "1234.5"), ("1.234,5", "1234.5"), ("1\\,234", "1234"), ("3,5", "3.5"), ("12{,}75", "12.75"), ("1,234.5", "1234.5"),
        ("-2{,}5", "-2.5"), ("1 234 567", "1{,}234{,}567"),
    ],
    "wrappers": [
        ("\\color{red}{5}", "5"), ("\\textcolor{blue}{5}", "5"), ("{\\bf 5}", "5"), ("\\underline{5}", "5"), ("\\boldsymbol{5}", "5"), ("\\bm{5}", "5"), ("\\large 5", "5"), ("\\texttt{5}", "5"), ("5\\tag{3}", "5"), ("\\Large{5}", "5"), ("5\\hspace{1em}", "5"),
        ("\\mathbf{\\frac{1}{2}}", "0.5"), ("\\ensuremath{5}", "5"), ("\\displaystyle\\frac12", "0.5"), ("\\left\\{1,2\\right\\}", "\\{1,2\\}"), ("5 \\\\", "5"), ("\\approx 5", "5"), ("\\bigl(1,2\\bigr)", "(1,2)"), ("\\begin{pmatrix}1\\\\[2pt]2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
    ],
    "Chinese": [
        ("120平方厘米", "120\\text{ cm}^2"), ("5立方米", "5 m^3"), ("12元", "12"), ("3厘米", "3 cm"), ("30度", "30^\\circ"), ("60千米/时", "60 km/h"), ("5米每秒", "5 m/s"), ("12个", "12"), ("（1，2）", "(1,2)"), ("３.５", "3.5"), ("2小时", "120 min"), ("3万", "30000"), ("三十五", "35"), ("1公顷", "10000 m^2"),
    ],
    "money": [
        ("1890\\text{ cents}", "\\$18.90"), ("\\$0.50", "50\\text{ cents}"), ("50¢", "\\$0.5"), ("18.9", "\\$18.90"), ("\\$1,200", "1200"), ("\\$5", "5 dollars"), ("5 \\text{ USD}", "\\$5"), ("\\$2.5 \\text{ million}", "2500000"), ("£12", "12"), ("-\\$5", "-5"), ("\\$5.00", "500 cents"),
    ],
    "shapes": [
        ("\\mathbb{R}", "(-\\infty,\\infty)"), ("\\left(\\begin{array}{c}1\\\\2\\end{array}\\right)", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"), ("(1, 2, 3)^T", "\\begin{pmatrix}1\\\\2\\\\3\\end{pmatrix}"), ("1.5\\text{E}3", "1500"), ("\\text{USD } 5", "5"),
        ("￥5", "5元"), ("\\sin 30^\\circ", "0.5"), ("f(x)=2x+1", "f(x)=1+2x"), ("P(X=2)=0.5", "0.5"), ("\\tan\\theta = 2", "2"), ("A(1,2)", "(1,2)"), ("\\textbf{(B) }12", "12"), ("a_n = 2n+1", "2n+1"), ("\\angle ABC = 30^\\circ", "30"),
    ],
    "sets": [
        ("x<-2 \\text{ or } x>3", "(-\\infty,-2)\\cup(3,\\infty)"), ("\\{x \\mid x>3\\}", "(3,\\infty)"), ("\\{x : -1 < x \\le 1\\}", "(-1,1]"), ("x>-1 \\text{ and } x<1", "(-1,1)"), ("x\\in(3,\\infty)", "x>3"), ("3 < x", "x > 3"), ("1, 2", "\\{2,1\\}"),
        ("x=1 \\text{ or } x=2", "1,2"), ("\\pm 3", "3,-3"), ("2\\pm\\sqrt3", "2+\\sqrt3, 2-\\sqrt3"), ("x \\ge 3", "[3,\\infty)"), ("(2,1),(3,4)", "(3,4),(2,1)"),
    ],
    "values": [
        ("2 + 40 = 42", "42"), ("x = 40 + 2 = 42", "42"), ("\\frac13 \\approx 0.33", "\\frac13"), ("-1\\frac12", "-1.5"), ("4.2\\times10^1", "42"), ("m+n = 42", "42"), ("\\text{Total} = 42", "42"), ("|AB| = 5", "5"), ("1-e^{-1}", "1-\\frac{1}{\\mathrm{e}}"), ("e^{i\\pi}", "-1"), ("x+11 \\text{ or } 11+x", "x+11"), ("36\\text{ units}^2", "36 square units"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("family", SAME)
def test_relatives_are_right(family: str):
    assert len(SAME[family]) >= 10
    assert misjudged(boxed(SAME[family]), "right") == []


OTHER: dict[str, Sequence[tuple[str, str]]] = {
    "times": [
        ("6:15", "12:30"), ("12:30", "6:15"), ("10:00", "12:00"), ("3:45", "1:15"), ("3:30 AM", "3:30 PM"), ("0:30", "12:30"), ("15:30", "3:30"), ("15:30", "3:30 AM"), ("7:00", "7:01"), ("noon", "midnight"), ("12:05", "2.4"), ("7 PM", "7 AM"), ("5", "5:00"),
    ],
    "percent": [("25", "0.25"), ("0.25", "25"), ("2.5\\%", "25\\%"), ("10", "0.1"), ("50", "50\\%"), ("25\\%", "2.5"), ("-25\\%", "25"), ("25\\%", "250"), ("0.25\\%", "25\\%"), ("25\\%", "\\frac{1}{25}")],
    "equations": [
        ("y=2x+4", "y=2x+3"), ("x=2y+3", "y=2x+3"), ("y=-2x-3", "y=2x+3"), ("x+1=6", "x=5"), ("2x=10", "x=5"), ("y=5", "x=5"), ("x^2=25", "x=5"), ("0=0", "y=2x+3"), ("y^2=4x^2", "y=2x"), ("x^2+y^2=5", "x^2+y^2=25"), ("xy=0", "y=x"), ("2x+3", "2x+3=y+1"), ("5=5", "x=5"),
        ("\\frac{x^2}{16}+\\frac{y^2}{12}=1", "\\frac{x^2}{4}+\\frac{y^2}{3}=1"),
    ],
    "tuples": [("y=1, x=2", "(1,2)"), ("(y,x)=(2,3)", "(2,1)"), ("(2,1)", "(1,2)"), ("\\begin{pmatrix}2\\\\1\\end{pmatrix}", "(1,2)"), ("(1,2,3)", "(1,2)"), ("\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"), ("a=4, b=3", "a=3, b=4"), ("x=1", "(1,2)"), ("(1,2)", "1"), ("[1,2]", "(1,2)")],
    "repeating": [("0.\\overline{2}", "\\frac{3}{11}"), ("0.3", "0.\\overline{3}"), ("0.(3)", "0.3"), ("0.\\overline{36}", "0.\\overline{63}"), ("0.33", "1/3"), ("0.\\overline{3}", "3"), ("0.\\overline{1}", "0.1"), ("0.1\\overline{6}", "0.\\overline{16}"), ("1.\\overline{3}", "0.\\overline{3}"), ("3...", "3")],
    "commas": [("3{,}5", "35"), ("3,5", "35"), ("3,5", "3"), ("1{,}234", "1.234"), ("0{,}125", "125"), ("3,5", "5"), ("1.2", "1,2"), ("1,2", "12"), ("1 2", "12"), ("1.234,5", "1.2345"), ("3{,}50", "350")],
    "money": [("18.90 \\text{ cents}", "\\$18.90"), ("\\$1890", "\\$18.90"), ("1890", "\\$18.90"), ("£5", "\\$5"), ("5 \\text{ apples}", "\\$5"), ("\\$50", "50 cents"), ("5¢", "\\$5"), ("€5", "5 dollars"), ("\\$5 million", "5"), ("-\\$5", "5")],
    "sets": [("x<-2", "(-\\infty,-2)\\cup(3,\\infty)"), ("x \\ge 3", "(3,\\infty)"), ("x>3", "3"), ("\\{x \\mid x>3\\}", "[3,\\infty)"), ("(1,2)", "\\{1,2\\}"), ("1,2,3", "1,2"), ("3", "\\pm 3"), ("\\{1,2,2\\}", "\\{1,2,3\\}"), ("x \\ne 3", "3"), ("x<3 \\text{ or } x>3", "3")],
    "Chinese": [("120平方厘米", "120 cm"), ("5立方米", "5 m^2"), ("3米", "3 cm"), ("12或13", "12"), ("大约12", "12"), ("不是12", "12"), ("3千米", "3 m"), ("十二", "11"), ("3万", "3000"), ("12元13", "12")],
}  # fmt: skip


@pytest.mark.parametrize("family", OTHER)
def test_what_only_looks_like_a_relative_is_wrong(family: str):
    assert len(OTHER[family]) >= 10
    assert misjudged(boxed(OTHER[family]), "wrong") == []


SENTENCES = [  # a last line that nothing introduces, and its value
    ("There are 12 apples left.", "12"), ("She has 12 apples now.", "12"), ("He earned $12.", "12"), ("Each one costs 12 dollars.", "12"), ("That makes 12.", "12"), ("So there are 12 in all.", "12"), ("It took 3 bolts in total.", "3"),
    ("Therefore, Janet makes $18 every day at the farmers' market.", "18"), ("James runs 540 meters a week.", "540"), ("Thus, 12 apples remain.", "12"), ("Hence the required value is 3.5.", "3.5"), ("So x equals 3.5.", "3.5"),
    ("Therefore:\n\\[\nx = 3.5\n\\]\nwhich is the desired value.", "3.5"), ("因此，所以一共有12个。", "12"), ("∴ x = 12", "12"), ("It ends at 3:30 p.m.", "3:30 PM"), ("The area is 36 cm².", "36 cm^2"),
]  # fmt: skip
NO_SENTENCES = [
    ("12 apples were given, how many are left?", "12"), ("We know 6+6.", "12"), ("Compute 12.", "12"), ("12 is the number of months in a year.", "12"), ("The number 12 is even.", "12"), ("There were 12 apples and 13 pears.", "12"),
    ("She had 12 apples and gave away some.", "12"), ("You gave me 12.", "12"), ("Multiply both sides by 12.", "12"), ("When x = 12, the expression vanishes.", "12"), ("The value 12 appears on the left.", "12"), ("Note: 12 is even.", "12"),
    ("The question mentions 12.", "12"), ("For x = 12 we have a contradiction.", "12"), ("Hint: 12", "12"), ("\\boxed{12}\n\nSo the answer is 13.", "12"), ("The answer is 12. However, the answer is 13.", "12"), ("Thus 12 is impossible.", "12"),
]  # fmt: skip


def test_a_sentence_says_its_value_at_its_end():
    assert (
        misjudged([(f"We add them up.\n{text}", reference) for text, reference in SENTENCES], "right") == []
    )
    assert misjudged(NO_SENTENCES, "wrong") == []


HEDGED = r"""41 = 42;;42 = 41;;x = 41 = 42;;42, ...;;42, \ldots;;42...;;42, etc.;;\ldots, 42;;41, 42;;40, 41, 42, 43;;\{41,42\};;42 or 43;;42 \text{ or } 43;;42 \text{ vs } 43;;42 \quad 43
42 \\ 43;;42/43;;\ge 42;;> 42;;\le 42;;x > 42;;x \ne 42;;\text{not } 42;;42 \pm 1;;42?;;42 (43);;42; 43;;[42, 43];;6 \quad 7;;x + 1 = 42;;2x = 42;;42 \neq 41;;41 \approx 42;;41 \to 42
41 \Rightarrow 42;;41 \implies 42;;\text{between } 41 \text{ and } 43;;\text{at least } 42;;\text{about } 42;;\text{maybe } 42;;\text{Is it } 42?;;\cancel{42} 43;;4 2;;a = 42, b = 43;;42 \lor 43
42 \text{ but also } 43;;x\in\{41,42,43\};;\text{A) 41 B) 42 C) 43};;(1) 41 (2) 42;;0 = 42;;42 - 50;;42 \text{ through } 50;;41 < 42;;42 = 6 \cdot 8;;\text{What is } 42;;\text{wrong: } 42;;42 \equiv 2;;42x;;42 + C;;42\text{ish};;\text{Let } x = 42;;\text{if } x = 42;;n = 42 \text{ fails};;f(42);;a_{42}""".replace("\n", ";;").split(";;")  # fmt: skip


def test_one_answer_that_says_more_than_the_reference_is_wrong():
    forms = (r"Hence \boxed{%s}.", "#### %s", "So the answer is %s", "<answer>%s</answer>")
    assert misjudged([(form % answer, "42") for answer in HEDGED for form in forms], "wrong") == []


def test_a_product_with_zero_is_not_zero_in_words():
    assert (
        misjudged(
            [
                ("The answer is not 0.", "0"),
                (r"\boxed{\text{never } 0}", "0"),
                ("#### (1) 8 (2) 9 (3) 0", "0"),
                ("#### nothing like 0", "0"),
            ],
            "wrong",
        )
        == []
    )


@pytest.mark.parametrize(
    ("question", "answer", "reference", "outcome"),
    [
        ("What percent of the pens are red?", "25", "25\\%", "right"), ("What percent are red?", "25\\%", "25", "right"), ("What percentage is it?", "0.25", "25\\%", "right"), ("占百分之几？", "25", "25\\%", "right"),
        ("What percent of the pens are red?", "0.25", "25", "wrong"), ("What is the probability?", "25\\%", "25", "wrong"), ("What is the probability?", "25\\%", "0.25", "right"), ("What is the probability?", "0.5\\%", "0.5", "wrong"),
        ("What is the probability?", "25", "25\\%", "wrong"), ("", "25", "25\\%", "wrong"), ("", "25\\%", "25", "right"), ("By what % did it rise?", "25, 30", "25\\%, 30\\%", "right"),
    ],
)  # fmt: skip
def test_the_form_of_a_percentage_is_the_questions(question: str, answer: str, reference: str, outcome: str):
    assert check(rf"\boxed{{{answer}}}", reference, True, question).outcome == outcome


def test_a_judge_hands_the_question_on():
    from pipelines.rewards.judge import Response
    from pipelines.rewards.response_file import FileQuestion

    judge = RuleJudge(math_answer)
    rows = [
        FileQuestion("1", question, "25\\%", "s", [])
        for question in ("What percent is it?", "What is the probability?")
    ]
    assert [
        verdict.outcome for verdict in judge.judge([Response(row, (), "#### 25", True) for row in rows])
    ] == ["right", "wrong"]


WORKED = [
    "First we add 2 and 3 and get 5. Then we double it.\nSo the total is 10 apples.", "We multiply the width by the height. That gives 12 square units.", "Ben buys two pens.\nEach costs 3 coins.\nHe pays 6 coins.",
    "设每支笔x元。由题意得到方程。解得x等于三，所以每支笔三元。",
]  # fmt: skip
USABLE = [
    ("We get 20 - 5 = 15 sheep.\nA: 15", "15"), ("We get 15.\nThe answer is 15.", "15"), ("so \\boxed{15}", "15"), ("It is half of 30.\n#### 15", "15"), ("Answer: 15", "15"), ("western blot", "western blot"),
    ("The French Revolution of 1789", "The French Revolution of 1789"), ("\\begin{pmatrix}1\\\\\n2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"), ("A: $15", "15"), ("答案：15", "15"), ("5. ", "5"),
]  # fmt: skip


@pytest.mark.parametrize("reference", WORKED)
def test_a_worked_solution_is_no_reference_and_the_preflight_says_so(reference: str):
    verdict = check("#### 10", reference, True)
    assert verdict.outcome == "error"
    assert "worked solution" in verdict.reason
    with pytest.raises(CheckerFailed, match=r"row 7.*worked solution.*end it with"):
        preflight(
            math_answer.check,
            math_answer.respond,
            [("pens", "5"), ("pens", reference)],
            names=["row 3", "row 7"],
        )
    from pipelines.rewards.rules import final_answer

    with pytest.raises(CheckerFailed, match="worked solution"):
        preflight(final_answer.check, final_answer.respond, [("pens", reference)])


@pytest.mark.parametrize(("reference", "answer"), USABLE)
def test_references_that_end_in_their_answer_are_usable(reference: str, answer: str):
    assert reason_no_final_answer(reference) == ""
    assert check(f"#### {answer}", reference, True).outcome == "right"


def test_the_recall_on_published_solutions():
    """MATH's own solutions against their answers. Of 4,500 seven box two different values, of which the
    reference keeps the last, one uses the box as an operator and says another answer after it, and one boxes
    a term of a difference: these are wrong here.
    """
    with gzip.open(
        real("math") / "hendrycks_math/test_minus_math500.jsonl.gz", "rt", encoding="utf-8"
    ) as stream:
        rows = [json.loads(line) for line in stream]
    verdicts = check_many([(row["solution"], row["_answer"], True, row["problem"]) for row in rows])
    assert sum(verdict.outcome == "right" for verdict in verdicts) >= len(rows) - 9
    foreign = [
        (row["solution"], other["_answer"], True, other["problem"])
        for row, other in pairwise(rows[:1500])
        if row["_answer"] != other["_answer"]
    ]
    right = [
        (text[-80:], reference)
        for (text, reference, *_), verdict in zip(foreign, check_many(foreign), strict=True)
        if verdict.outcome == "right"
    ]
    assert len(right) <= 1, right  # "4 \\text{ units}" beside "4"
