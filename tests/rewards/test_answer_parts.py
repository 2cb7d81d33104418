"""Numbers that are a part of something else: of a formula around a box, of a comparison, of a place or time,
of a sum, of another base.
"""

from __future__ import annotations

from pipelines.rewards.rules.math_answer import check_many

# response, reference, what a careful person says
BOXES_IN_FORMULAS = [
    (r"\boxed{[5]}6", "5", "wrong"),
    (r"\boxed{5}6", "5", "wrong"),
    (r"2\boxed{5}", "5", "wrong"),
    (r"\boxed{5}\frac12", "5", "wrong"),
    (r"\boxed{5}x", "5", "wrong"),
    (r"\boxed{5}\cdot 2", "5", "wrong"),
    (r"\boxed{5} + 1", "5", "wrong"),
    (r"$x + \boxed{5}$", "5", "wrong"),
    (r"$\frac{1}{\boxed{5}}$", "5", "wrong"),
    (r"$\boxed{5}^2$", "5", "wrong"),
    (r"$\boxed{5}^2$", "25", "right"),
    (r"$\boxed{5}{,}000$", "5", "wrong"),
    (r"$\boxed{5}.5$", "5", "wrong"),
    (r"-\boxed{5}", "5", "wrong"),
    (r"$-\boxed{5}$", "-5", "right"),
    *(
        (text, "5", "wrong")
        for text in (
            r"$(\boxed{5}, 6)$",
            r"$1,\boxed{5}$",
            r"$\boxed{5},\ldots$",
            r"\boxed{5};6",
            r"\boxed{5} \text{ or } 6",
            r"\boxed{5}\text{ hundred}",
            r"\boxed{5} million",
            r"$f(\boxed{5})$",
            r"Maybe \boxed{5}",
            r"\boxed{5} maybe",
            "<answer>5</answer> or 6",
            "<answer>5</answer>6",
            "The answer is 5 hundred",
            "The answer is $5_x$",
            "5. Conclude.",
        )
    ),
    ("Step 1\n- \\boxed{5}", "5", "right"),
    (r"$\boxed{45}^\circ$", r"45^\circ", "right"),
    (r"$\boxed{101}_2$", "101_2", "right"),
    (r"$\boxed{5}\text{ km}$", r"5\text{ m}", "wrong"),
    (r"$\boxed{30}\text{ cm}^2$", "30", "right"),
    (r"$y \ge \boxed{4}$", "4", "right"),
    (r"$n \equiv \boxed{5} \pmod{17}$", "5", "right"),
    (r"$3 + \boxed{5} = 8$", "5", "right"),
    (r"$= \boxed{37}x^3$", "37", "right"),
    ("\\boxed{5}.\n6 of them are left over.", "5", "right"),
]
NUMBERS_OF_SOMETHING_ELSE = [
    *(
        (text, "5", "wrong")
        for text in (
            "5 minutes ago I started.",
            "5 people disagree with me.",
            "The answer is 5 times larger",
            "The answer is 5 times 3",
            "The answer is 5 more than I thought",
            "The answer is 5 greater than x",
            "The answer is 5 percent more",
            "The answer is 5 digits long",
            "The answer is 5 lines below",
            "The answer is 5 steps away",
            "The answer is 5 plus something",
            "The answer is 5 squared",
            "The answer is 5 factorial",
            "The answer is 5 fold",
            "The answer is 5 over 2",
            "The answer is 5 below zero",
            "The answer is 5 minutes before noon",
            "The answer is 5 years older than Tom",
            "The answer is between 5 and 7",
            "The answer is approximately half of 5",
            "The answer is at least 5",
            "The answer is a multiple of 5",
            "答案是5的两倍",
            "答案是5的倍数",
            "答案是5以上",
        )
    ),
    ("The answer isn't 0.", "0", "wrong"),
    ("The answer isn’t 5.", "5", "wrong"),
    ("The answer is 5 squared", "25", "right"),
    ("The answer is 5 over 2", "5/2", "right"),
    ("The answer is 5 out of 6", "5/6", "right"),
    ("The answer is simply $5$.", "5", "right"),
    ("The answer is 5 times.", "5", "right"),
    ("The answer is 5 apples per day", "5", "right"),
    ("The answer is 5 marbles in each bag", "5", "right"),
    ("The answer is 5 years old", "5", "right"),
    ("We add.\n5 apples in each bag", "5", "right"),
    ("We add.\nThus, 12 apples remain.", "12", "right"),
    ("This gives us 5.", "5", "right"),
    ("The answer is 5 ✅", "5", "right"),
]
SUMS = [
    (r"\boxed{\sum_{k=1}^{4} k}", r"\sum_{k=1}^{4} k", "right"),
    (r"\boxed{\sum\limits_{k=1}^{4}k}", r"\sum_{k=1}^{4} k", "right"),
    (r"\boxed{\sum_{k=1}^{4} k}", "10", "right"),
    (r"\boxed{\sum_{k=1}^{4} k}", "11", "wrong"),
    (r"\boxed{\sum_{k=1}^{4} k}", "k", "wrong"),
    (r"\boxed{\sum_{k=1}^{5} k}", r"\sum_{k=1}^{4} k", "wrong"),
    (r"\boxed{10}", r"\sum_{k=1}^4k", "right"),
    (r"\boxed{\prod_{k=1}^{5} k}", "120", "right"),
    (r"\boxed{\sum_{k=1}^{n} k}", r"\frac{n(n+1)}{2}", "right"),
    (r"\boxed{\sum_{k=1}^{n} k}", r"\sum_{k=1}^{n} k^2", "wrong"),
    (r"\boxed{\sum_{n=0}^{\infty} \frac{1}{2^n}}", "2", "right"),
    (r"The answer is $\sum_{k=1}^{4} k = 10$.", "10", "right"),
    (r"The answer is $\sum_{k=1}^{4} k = 10$.", "4", "wrong"),
]
BASES = [
    (r"\boxed{0x1f}", "0x1F", "right"),
    (r"\boxed{0x20}", "0x1F", "wrong"),
    (r"\boxed{0x1F}", "31", "right"),
    (r"\boxed{0x1F}", "0", "wrong"),
    (r"\boxed{0b101}", "5", "right"),
    (r"\boxed{(101)_2}", "101_{2}", "right"),
    (r"\boxed{101_{\text{two}}}", "101_2", "right"),
    (r"\boxed{101_3}", "101_2", "wrong"),
    (r"\boxed{42_8}", "42_7", "wrong"),
    (r"\boxed{5}", "101_2", "wrong"),
    (r"\boxed{1f_{16}}", "1F_{16}", "right"),
    (r"\boxed{1E_{16}}", "1F_{16}", "wrong"),
    (r"\boxed{42_{10}}", "42", "right"),
    ("The answer is 1011 in base 2.", "1011_2", "right"),
    ("The answer is 1011 (base 3)", "1011_2", "wrong"),
    (r"\boxed{a_2}", "a_3", "wrong"),
]
ABSOLUTE = r"\begin{cases} x & \text{if } x>0 \\ -x & \text{otherwise} \end{cases}"
CASES = [
    (rf"\boxed{{{ABSOLUTE}}}", r"\begin{cases}x,&x>0\\-x,&\text{otherwise}\end{cases}", "right"),
    (r"\boxed{\begin{cases} -x & \text{otherwise} \\ x & 0<x \end{cases}}", ABSOLUTE, "right"),
    (r"\boxed{\begin{cases} x & x>0 \\ x & \text{otherwise} \end{cases}}", ABSOLUTE, "wrong"),
    (r"\boxed{\begin{cases} x & x>1 \\ -x & \text{otherwise} \end{cases}}", ABSOLUTE, "wrong"),
    (r"\boxed{x}", ABSOLUTE, "wrong"),
    (r"\boxed{\begin{cases} x = 1 \\ y = 2 \end{cases}}", "(1,2)", "right"),
    (r"\boxed{\begin{cases} x = 1 \\ y = 3 \end{cases}}", "(1,2)", "wrong"),
    (r"\boxed{\left\{\begin{array}{l} x = 1 \\ y = 2 \end{array}\right.}", "x=1, y=2", "right"),
    (r"\boxed{x=1 \\ y=2}", "(1,2)", "right"),
]
LOCALES = [
    ("#### 1,23,456", "123456", "right"),
    ("#### 1 234,5", "1234.5", "right"),
    (r"\boxed{0{,}\overline{3}}", "1/3", "right"),
    ("0.3̅", "1/3", "right"),
    (r"\boxed{]1,2[}", "(1,2)", "right"),
    (r"\boxed{[1,2[}", "(1,2)", "wrong"),
    ("百分之二十五", "25%", "right"),
    ("答えは5です。", "5", "right"),
    ("정답은 5입니다.", "5", "right"),
    ("120㎡", r"120\text{ m}^2", "right"),
    ("two and a half", "2.5", "right"),
    ("Final answer:\n\n> 5", "5", "right"),
]


def test_every_part():
    rows = [*BOXES_IN_FORMULAS, *NUMBERS_OF_SOMETHING_ELSE, *SUMS, *BASES, *CASES, *LOCALES]
    verdicts = check_many([(response, reference, True) for response, reference, _ in rows])
    assert [
        (*row, verdict.reason)
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict.outcome != row[2]
    ] == []
