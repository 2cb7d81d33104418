"""Which questions are one: the handed pairs, and variants both ways; and that a corpus keeps or merges them
accordingly.
"""

import json
import os
from pathlib import Path

import pytest

from pipelines.corpora.cleaning.canonical import canonical_form, loose_form
from tests.corpora.made import ROOT, table, write_lines

CASES = Path(os.environ.get("WHETSTONE_CASES", ROOT / "../shared/cases")) / "question_pairs.jsonl"

APART = [
    ("Find f(2)", "Find f2"),
    ("|x-3|=5", "(x-3)=5"),
    ("a<b", "a>b"),
    ("x≥2", "x>2"),
    ("Compute 5!", "Compute 5"),
    ("Compute 5!", "Compute 5?"),
    ("n!", "n"),
    ("Compute -5", "Compute 5"),
    ("5 - -3", "5 - 3"),
    ("3^2", "32"),
    ("x_1", "x1"),
    ("x²", "x³"),
    ("10⁻³", "10³"),
    ("10^{-3}", "10^3"),
    ("x^{10}", "x^1"),
    ("H₂O", "H2O"),
    ("Let X be 3. Find X", "Let x be 3. Find x"),
    ("A = 5, a = 3. Find A", "a = 5, A = 3. Find A"),
    ("Convert 3 kg", "Convert 3 Kg"),
    ("5 Pa", "5 PA"),
    ("1 MW", "1 mW"),
    ("3.5", "35"),
    ("3. 5", "3.5"),
    ("1,25", "1.25"),
    ("1,25", "125"),
    ("[1,234]", "[1234]"),
    ("max(1,234)", "max(1234)"),
    ("Sort 1, 234", "Sort 1234"),
    ("12 34", "1234"),
    ("1 2/3", "12/3"),
    ("[1 -2]", "[1-2]"),
    ("¬p", "p"),
    ("∀x", "∃x"),
    ("x∈A", "x∉A"),
    ("A∩B", "A∪B"),
    ("他是学生", "他不是学生"),
    ("他有三本书", "他有五本书"),
    ("naïve", "naive"),
    ("résumé", "resume"),
    ("año", "ano"),
    ("5€", "5$"),
    ("$5", "5"),
    ("20°C", "20°F"),
    ("20°C", "20C"),
    ("20 °C", "20 K"),
    ("a/b", "a\\b"),
    ("a*b", "a+b"),
    ("a&b", "a|b"),
    ("a&&b", "a&b"),
    ("a==b", "a=b"),
    ("x += 1", "x =+ 1"),
    ("x -= 1", "x = -1"),
    ("i++", "i+"),
    ("~x", "-x"),
    ("#5", "5"),
    ("@a", "a"),
    ("Is {1} open", "Is [1] open"),
    ("f'(x)", "f(x)"),
    ("f''(x)", "f'(x)"),
    ("(a,b]", "[a,b)"),
    ("√2", "2"),
    ("\\sqrt{2}", "2"),
    ("3:4", "3/4"),
    ("12:30", "1230"),
    ("1:23", "12:3"),
    ("3^½", "3^1/2"),
    ("½x", "1/2x"),
    ("½ x", "1/2x"),
    ("6 ÷ ½", "6 ÷ 1/2"),
    ("1½", "11/2"),
    ("Is 3 &lt; 4?", "Is 3 &gt; 4?"),
    ("What does &lt; mean in HTML?", "What does < mean in HTML?"),
    ("What is `&amp;`?", "What is `&`?"),
    ("What is 2**3**2?", "What is 2 3 2?"),
    ("What is **2+2?", "What is 2+2?"),
    ("f(**ab, **cd)", "f(ab, cd)"),
    ("x<sup>2</sup>", "x<sub>2</sub>"),
    ("What is 7 // 2?", "What is 7 / 2?"),
    ("p → q", "p ← q"),
    ("Find A \\setminus B", "Find A B"),
    ("Which king was Henry VIII?", "Which king was Henry VII?"),
    ("Find \\lfloor 2.5 \\rfloor", "Find \\lceil 2.5 \\rceil"),
    ("Fe^{2+}", "Fe^{3+}"),
    ("①cat ②dog", "①dog ②cat"),
    ("Fill: I ___ happy", "Fill: I happy"),
    ("➕", "➖"),
    ("👍", "👎"),
    ("Was ist groß", "Was ist gross"),
    ("x→0⁺", "x→0⁻"),
    ("∑", "∏"),
    ("≈3", "=3"),
    ("print(\"a  b\")", "print(\"a b\")"),
    ("What is `a  b`", "What is `a b`"),
    ("def f():\n    x\n    return y", "def f():\n    x\nreturn y"),
    ("if a:\n\tb", "if a: b"),
    ("\"Print\"", "\"print\""),
    ("Does Print(5) work?", "Does print(5) work?"),
    ("No. CO is", "No. Co is"),
    ("a b", "ab"),
    ("I scream", "Iscream"),
    ("١٢", "١٣"),
    ("log_2 8", "log 28"),
    ("2^3^2", "(2^3)^2"),
    ("50%", "50‰"),
    ("3'", "3\""),
    ("Evaluate |a|+|b|", "Evaluate |a+b|"),
    ("Find P(A|B)", "Find P(A,B)"),
    ("∇·F", "∇×F"),
    ("a <- 5", "a < -5"),
    ("print('a  b')", "print('a b')"),
    ("192.168.1.1", "19216811"),
    ("x̄", "x"),
    ("👍🏽", "👍🏿"),
    ("かき", "がき"),
    ("ไม่ไป", "ไป"),
    ("kWh", "kW"),
    ("5E3", "53"),
    ("m/s", "m/s²"),
    ("今天不是星期一吗", "今天是星期一吗"),
    ("the rate is 5 m/s", "the rate is 5 km/s"),
    ("Solve x < 3", "Solve x ≤ 3"),
    ("他没有钱", "他有钱"),
    ("未来十年", "未来二十年"),
    ("このりんごは3個", "このりんごは4個"),
    ("$5 and $6", "5 and 6"),
    ("Find p and P", "Find P and p"),
    ("Évitez cela", "évitez cela"),
    ("7½", "712"),
    ("a ∘ b", "a ∙ b"),
]  # fmt: skip
ONE = [
    ("What is  3 + 4 ?", "what is 3+4"),
    ("f(x)=x^2", "f(x) = x^2"),
    ("It costs $1,000.", "it costs $1000"),
    ("What is $3+4$?", "What is 3+4?"),
    ("x²", "x^2"),
    ("x^{2}", "x^2"),
    ("\\frac{1}{2}", "\\dfrac{1}{2}"),
    ("\\frac12", "\\frac{1}{2}"),
    ("\\left(x\\right)", "(x)"),
    ("x \\leq 2", "x ≤ 2"),
    ('a\xa0b', "a b"),
    ("It’s “his”", "It's \"his\""),
    ("−3", "-3"),
    ("１＋２", "1+2"),
    ("é", "é"),
    ("a\r\nb", "a\nb"),
    ("a  b\n", "a b"),
    ("What is 5\\%?", "What is 5%?"),
    ("\\(x\\)", "x"),
    ("\\[x+1\\]", "x+1"),
    ("3\\times 4", "3 × 4"),
    ("90^\\circ", "90°"),
    ("1{,}000 men", "1,000 men"),
    ("12,345,678 people", "12345678 people"),
    ('1\u202f000 m', "1000 m"),
    ("中国 的首都是哪里？", "中国的首都是哪里?"),
    ("首都是哪里。", "首都是哪里"),
    ("Is it?!", "Is it"),
    ("Stop!", "Stop"),
    ("{1, 2}", "{1,2}"),
    ("x<=2", "x≤2"),
    ('zero\u200bwidth', "zerowidth"),
    ('\ufeffHello there', "Hello there"),
    ("the A. Then find it", "the A.  then find it"),
    ("A farmer had 3", "a farmer had 3"),
    ("5 \\text{ cm}", "5 cm"),
    ("H_{2}O", "H_2O"),
    ("π", "\\pi"),
    ("def f():\r\n    x", "def f():\n    x  \n"),
    ("$x$ and $y$", "x and y"),
    ("What is  2\n+ 2", "What is 2 + 2"),
    ("\\text{Find } x", "Find x"),
    ("１２３", "123"),
    ("café", "café"),
    ("x = -3", "x=-3"),
    ("What is 10 mod 3", "What is 10 mod3?"),
    ("Ist das „richtig“?", "Ist das \"richtig\""),
    ("Roman Ⅳ", "Roman IV"),
    ("a_1 + a_2", "a_{1} + a_{2}"),
    ("\\sqrt{6}", "\\sqrt6"),
    ("Turn left", "turn left."),
    ("two\n\nparagraphs", "two paragraphs"),
    ("What is ½ of 10?", "What is 1/2 of 10?"),
    ("2½ cups", "2 1/2 cups"),
    ("1⁄2", "1/2"),
    ("Is 3 &lt; 4?", "Is 3 < 4?"),
    ("What&#39;s up?", "What's up?"),
    ("this&nbsp;thing", "this thing"),
    ("A &amp;amp; B", "A & B"),
    ("**Question:** What is 2+2?", "Question: What is 2+2?"),
    ("Find $\\varphi(10)$", "Find φ(10)"),
    ("What is 5％ of 40?", "What is 5% of 40?"),
    ("What does ❤️ mean?", "What does ❤ mean?"),
    ("Ｗｈａｔ is 2 + 2?", "What is 2 + 2?"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_can_mean_something_else_is_kept(one, other):
    assert canonical_form(one) != canonical_form(other)


@pytest.mark.parametrize(("one", "other"), ONE)
def test_what_cannot_is_forgiven(one, other):
    assert canonical_form(one) == canonical_form(other)
    assert loose_form(one) == loose_form(other)


def handed():
    if not CASES.is_file():
        pytest.skip(f"no cases at {CASES}; set WHETSTONE_CASES")
    return [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]


def test_the_handed_pairs():
    wrong = [
        row["situation"]
        for row in handed()
        if (canonical_form(row["question_1"]) == canonical_form(row["question_2"])) != row["should_merge"]
    ]
    assert not wrong


@pytest.mark.parametrize("role", ["train", "heldout"])
def test_a_corpus_with_all_its_steps_loses_none_of_the_different_ones(tmp_path, role):
    """Near-duplicate search and decontamination at their defaults; no handed pair, no variant loses a row in
    training or held-out files.
    """
    pairs = [
        (row["question_1"], row["answer_1"], row["question_2"], row["answer_2"])
        for row in handed()
        if not row["should_merge"]
    ]
    pairs += [(one, "yes", other, "yes") for one, other in APART]
    texts = {question: answer for q1, a1, q2, a2 in pairs for question, answer in ((q1, a1), (q2, a2))}
    forms = {canonical_form(text) for text in texts}  # some variants repeat another pair's question
    write_lines(
        tmp_path / "rows.jsonl", [{"question": text, "answer": answer} for text, answer in texts.items()]
    )
    write_lines(
        tmp_path / "other.jsonl", [{"question": "Name the tallest mountain on this continent", "answer": "?"}]
    )
    splits = (
        {"train": "rows.jsonl", "heldout": "other.jsonl"}
        if role == "train"
        else {"heldout": "rows.jsonl", "train": "other.jsonl"}
    )
    made = table(tmp_path / "tok", tmp_path, splits)
    assert made.metrics["records"]["rl" if role == "train" else "heldout"] == len(forms)
    assert {
        canonical_form(record.prompt) for record in made.records["rl" if role == "train" else "heldout"]
    } == forms


def test_no_training_row_falls_to_a_held_out_one_that_asks_for_something_else():
    from pipelines.corpora.cleaning.contamination import decontaminate
    from pipelines.corpora.corpus_params import DecontaminateParams, NearParams
    from pipelines.corpora.raw.problem import Problem

    pairs = [(row["question_1"], row["question_2"]) for row in handed() if not row["should_merge"]] + APART
    lengthened = [(f"Tell me: {one}", f"Tell me: {other}") for one, other in pairs]
    for one, other in [*pairs, *lengthened, *((other, one) for one, other in pairs)]:
        _, dropped = decontaminate(
            [Problem(one, "", "train", "")],
            [Problem(other, "", "heldout", "")],
            DecontaminateParams(),
            NearParams(),
        )
        assert not dropped, (one, other)
