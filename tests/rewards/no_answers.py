"""Responses that state no answer, made from a seed: questions, refusals, reasoning that ends before its
conclusion, every option named, hedges, retractions, plans. Each holds its reference somewhere where it can,
since that is what a policy finds.

A verifier must call none of them right: `python -m benchmarks.false_passes` measures 10,000 for each rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random

from pipelines.seams import load

NAMES = ("Ana", "Ben", "Eva", "Tom", "Mia", "Leo")
THINGS = ("coins", "apples", "tickets", "metres", "books", "pens")
PHRASES = (
    "western blot",
    "gel electrophoresis",
    "the French Revolution",
    "photosynthesis",
    "Paris",
    "supply and demand",
    "a catalyst",
    "Newton",
    "mitosis",
    "copper",
)
LETTERS = "ABCDEFGHIJ"
Made = tuple[str, str]


def number(rng: Random) -> str:
    return rng.choice((str(rng.randint(0, 12)), str(rng.randint(13, 999)), f"{rng.randint(1, 99)}.{rng.randint(1, 9)}", f"\\frac{{{rng.randint(1, 9)}}}{{{rng.randint(2, 9)}}}", f"{rng.randint(1, 99)}\\%", f"-{rng.randint(1, 40)}"))  # fmt: skip


def phrase(rng: Random) -> str:
    return rng.choice(PHRASES)


def letter(rng: Random) -> str:
    return rng.choice(LETTERS[:5])


def formula(rng: Random) -> str:
    a, b = rng.randint(2, 9), rng.randint(1, 9)
    return rng.choice((f"{a}x+{b}", f"x={a}", f"\\sqrt{{{a}}}", f"({a},{b})", f"[{a},{a + b}]", f"\\{{{a},{a + b}\\}}", f"{a}:{b + 10}", f"x^2+{b}", f"y={a}x+{b}", f"{a} \\text{{ cm}}"))  # fmt: skip


def five_forms(rng: Random) -> str:
    """A reference of the rule `phrase_answer`."""
    one = rng.choice(NAMES)
    return rng.choice((f"{one} has the map", f"first the cat, then the dog, then the {rng.choice(('owl', 'fox'))}", "no, pigs are not allowed there", "yes, pigs are allowed there", f"both need {rng.choice(('salt', 'flour'))} and sugar", f"twelve {rng.choice(THINGS)}"))  # fmt: skip


def questions(rng: Random, key: str, other: str) -> str:
    return rng.choice((
        f"Is it {key}?", f"Is the answer {key}?", f"What is {key}?", f"{key}?", f"Could it be {key}?", f"How do we get {key} from this?", f"The answer is {key}?",
        f"So is {key} what you are asking for?", f"Should the result be {key} or {other}?", "What do you mean by that?", "Can you give me more details?",
        f"Would {key} be right?", f"Why {key}?", f"Isn't it {key}?", f"答案是{key}吗？", f"是不是{key}？", f"Therefore, is the answer {key}?", f"Which one is it: {key}, {other}?",
        f"Find {key}. What follows?", "How many are there in total?", f"Answer: {key}?", f"Did you mean {key}?", f"I wonder: is it {key}?", f"Is $x = {key}$?",
    ))  # fmt: skip


def refusals(rng: Random, key: str, other: str) -> str:
    return rng.choice((
        "I don't know.", "I do not know the answer.", "I cannot answer this question.", "I'm sorry, but I can't help with that.", "I am not sure.", "No idea.",
        f"I am not sure whether it is {key}.", f"I don't think it is {key}.", f"I cannot say that it is {key}.", f"The answer is not {key}.", f"It is impossible to say if {key} holds.",
        "As an AI, I cannot decide this.", "There is not enough information to answer.", "我不知道。", "抱歉，我无法回答这个问题。", f"无法确定是否是{key}。", f"答案不是{key}。", "The answer is unknown.",
        f"It cannot be {key}.", f"I doubt that it is {key}.", f"Not {key}.", f"I'm unable to tell {key} from {other}.", "I would rather not answer.", f"The answer is unclear, {key} is a guess.",
        f"Sorry, I can't verify that {key} is right.", "I give up.", f"I have no answer; {key} was in the question.", "The question makes no sense.",
    ))  # fmt: skip


def unfinished(rng: Random, key: str, _: str) -> str:
    a, b = rng.randint(2, 20), rng.randint(2, 20)
    start = rng.choice(
        (
            "",
            f"We read the question.\nThere are {a} {rng.choice(THINGS)}.\n",
            "Let me think step by step.\n",
            f"{a} + {b} = {a + b}\n",
            "First, we look at what is given.\n\n",
        )
    )
    return start + rng.choice((
        "Let me think about this step by step.", f"First, we need to find {key}.", f"Let us assume that the answer is {key} and check.", f"If the answer were {key}, then we would be done.",
        f"Next, we multiply {a} by {b} to get {a * b}.", f"Then we add {key} to both sides.", f"Suppose that x = {key}.", f"We have to check whether {key} is right.", f"Now consider {key}.",
        f"Step {rng.randint(1, 9)}: consider {key}", f"To solve this, we first compute {key}.", "The next step is to simplify the expression.", f"We should try {key} first.",
        f"Assume {key}.", "Let's break it down.", f"We start with {key} and continue.", f"Recall that {key} was given.", f"Note that {key} appears in the question.", f"首先，我们考虑{key}。", f"假设答案是{key}。",
        f"设 x = {key}", f"接下来我们需要计算{key}。", "Therefore, we need to compute the following:", "The answer is", "So the final answer is:", "Answer:", "####", "\\boxed{}", "<answer></answer>",
        f"We want to show that the answer is {key}.", f"The answer would be {key} if the sum were odd.", f"Since {key} is given, we continue.", f"Let $x = {key}$.", f"{a} + {b} = {a + b}",
    ))  # fmt: skip


def every_option(rng: Random, key: str, other: str) -> str:
    names = [key, other, other + "1" if other[-1:].isdigit() else f"{other} two"]
    rng.shuffle(names)
    one, two, three = names
    return rng.choice((
        f"It could be {one}, {two} or {three}.", f"The options are {one}, {two} and {three}.", f"{one}, {two}, {three}", f"{one} or {two}", f"Either {one} or {two}.", f"The answer is {one} or {two}.",
        f"The answer is {one}, {two}, {three}.", f"\\boxed{{{one}}} or \\boxed{{{two}}}", f"\\boxed{{{one} \\text{{ or }} {two}}}", f"\\boxed{{{one}, {two}, {three}}}", f"#### {one}\n#### {two}",
        f"#### {one} or {two}", f"#### {one}, {two}, {three}", f"<answer>{one}</answer><answer>{two}</answer>", f"One of {one}, {two}, {three}.", f"Candidates: {one}; {two}; {three}", f"{one}/{two}/{three}",
        f"答案是{one}或{two}。", f"可能是{one}，也可能是{two}。", f"(1) {one} (2) {two} (3) {three}", f"The answer is {one}. Or {two}.", f"{one} and {two} are both possible.", f"A) {one} B) {two} C) {three}",
    ))  # fmt: skip


def hedges(rng: Random, key: str, other: str) -> str:
    return rng.choice((
        f"Maybe {key}.", f"It might be {key}.", f"Perhaps it is {key}.", f"The answer is maybe {key}.", f"The answer is possibly {key}.", f"My guess is {key}, but it may be {other}.", f"It is {key} or not.",
        f"The answer is not {key} but I am unsure.", f"\\boxed{{{key}}}? Or \\boxed{{{other}}}?", f"The answer is not \\boxed{{{key}}}.", f"\\boxed{{{key}}}. Wait, that is wrong.", f"#### {key}\nWait, I made a mistake.",
        f"The answer is {key}. No, wait.", f"The answer is {key}. Actually, that is incorrect.", f"<answer>{key}</answer>\nScratch that.", f"\\boxed{{{key}, \\ldots}}", f"\\boxed{{{other} = {key}}}",
        f"#### {key}, ...", f"The answer is between {key} and {other}.", f"It depends: {key} for some.", f"也许是{key}。", f"The answer is {key} ... or so, I can't tell.", f"\\boxed{{\\text{{not }} {key}}}",
    ))  # fmt: skip


TEMPLATES = r"""
Hmm, that's a tricky one. What would you say?
KEY sounds plausible to you?
Let's see... KEY... no...
To answer this we should look at KEY more closely.
I think we need more information before deciding on KEY.
Honestly, your guess is as good as mine.
Both KEY and OTH look reasonable.
Some people say KEY, others say OTH.
This looks like a job for a calculator.
We can rule out KEY.
KEY is definitely not it.
KEY is one possibility.
KEY or thereabouts?
There are several cases. In case 1 we get KEY. In case 2 we get OTH.
In the first case x = KEY, in the second case x = OTH.
Using the formula, we substitute KEY into the equation
Plugging in KEY gives us
The value KEY appears on the left-hand side.
The question mentions KEY.
The problem asks us about KEY and OTH.
We're told that there are KEY of them.
We are given KEY.
You gave me KEY.
The given value is KEY.
Here is my reasoning so far: KEY comes from the first equation, OTH from the second.
I'd need to compute KEY times OTH.
Compute: KEY
Substituting x = KEY:
When x = KEY, the expression vanishes.
For x = KEY we have a contradiction.
So x cannot be KEY.
Thus KEY is impossible.
Therefore KEY does not work.
Hence the answer can't be KEY.
The answer isn't KEY.
The answer is neither KEY nor OTH.
The answer lies somewhere near KEY.
The answer is something like KEY, but I can't be sure.
The answer is close to KEY.
The answer is greater than KEY.
The answer is a number.
The answer is in the question.
The answer is left to the reader.
The answer is: I don't know.
The answer is: not sure.
The answer is one of KEY, OTH.
The answer is KEY, OTH, or something else.
The answer is KEY and OTH.
The answer is KEY / OTH.
The final answer is KEY (or OTH).
The final answer is either KEY or OTH.
My answer: KEY? OTH?
Answer: KEY or OTH
Answer: any of KEY, OTH
Answer: cannot be determined
Answer: see above
Answer: TBD
Answer: KEY?
Answer: maybe KEY
Answer: not KEY
Final answer:
Final Answer: \boxed{}
\boxed{\text{unknown}}
\boxed{?}
\boxed{KEY?}
\boxed{KEY \text{ or } OTH}
\boxed{KEY}, \boxed{OTH}
\boxed{KEY}/\boxed{OTH}
\boxed{OTH} \text{ or } \boxed{KEY}
Either \boxed{KEY} or \boxed{OTH}.
\boxed{\text{I don't know}}
\boxed{\text{maybe } KEY}
\boxed{\text{possibly KEY}}
\boxed{KEY \ne OTH}
#### KEY?
#### maybe KEY
#### not KEY
#### KEY or OTH
#### KEY / OTH
#### ?
#### unknown
#### KEY\n#### OTH
#### I don't know
<answer>KEY or OTH</answer>
<answer>?</answer>
<answer>KEY?</answer>
<answer>maybe KEY</answer>
<answer>KEY</answer> or <answer>OTH</answer>
<think>KEY</think>
<think>The answer is KEY.</think>
I would say that the answer could be KEY.
My best guess would be KEY or OTH.
Possibly KEY, possibly OTH.
If I had to guess: KEY, OTH.
Suppose the answer is KEY. Then we get a contradiction.
Assume the answer were KEY.
Let me verify that KEY works.
Let me try KEY.
Let's test KEY: it gives a remainder.
Checking KEY...
Next up: KEY.
Step 3: multiply by KEY
Now KEY
First KEY, then OTH, then stop.
Start with KEY and add OTH.
Add KEY to OTH.
Multiply both sides by KEY.
Divide by KEY.
Subtracting KEY from both sides, we obtain
We subtract KEY.
Simplify to get rid of KEY.
Rewrite KEY as a product.
Note: KEY is prime.
Hint: KEY
Example: KEY
E.g. KEY
What about KEY
How about KEY?
Who said KEY?
Should I go on with KEY?
Do you want KEY or OTH?
Please clarify whether you mean KEY.
Could you confirm KEY?
I need to know if KEY is allowed.
I can't do KEY.
I refuse to answer KEY.
I won't answer that.
I am an AI and cannot pick KEY.
I apologize, but KEY is beyond what I can say.
Sorry, no answer. KEY was a typo.
Unfortunately I cannot determine whether KEY is right.
It is unclear if KEY is meant.
It's hard to say.
Not enough data to get KEY.
Nobody knows.
I have no clue.
It remains to show KEY.
It remains to compute KEY.
All that is left is KEY minus OTH.
We still have to subtract KEY.
Continuing, we find KEY on both sides, so it cancels.
Options: KEY, OTH
Choices: (A) KEY (B) OTH
(A) KEY (B) OTH
A. KEY B. OTH
A: KEY, B: OTH
1. KEY 2. OTH
1) KEY 2) OTH
KEY | OTH
KEY OTH
KEY vs. OTH
KEY, OTH, and so on
KEY, ...
..., KEY
KEY...
[KEY, OTH]
{KEY, OTH}
(KEY, OTH)
KEY; OTH
KEY & OTH
KEY -> OTH
KEY ≠ OTH
KEY? OTH?
between KEY and OTH
from KEY to OTH
at most KEY
about KEY
less than KEY
not KEY
anything but KEY
everything except KEY
KEY is wrong
KEY (wrong)
~KEY~ OTH
~~KEY~~ OTH
不是KEY
KEY吗
可能是KEY
我觉得也许是KEY
KEY还是OTH？
选KEY还是OTH
如果是KEY呢？
答案可能是KEY
答案：KEY或OTH
答案是KEY？
我不确定，KEY？
接下来计算KEY
首先KEY
题目中给出了KEY
请问KEY是什么意思？
无法得出KEY
""".strip().splitlines()


def templates(rng: Random, key: str, other: str) -> str:
    """Written without looking at the rules, after the kinds above were refused."""
    start = rng.choice(("", "", "There are 7 of them.\n", "We go through this slowly.\n\n"))
    return start + rng.choice(TEMPLATES).replace("\\n#", "\n#").replace("KEY", key).replace("OTH", other)


KINDS: Sequence[Callable[[Random, str, str], str]] = (
    questions,
    refusals,
    unfinished,
    every_option,
    hedges,
    templates,
    templates,
)
REFERENCES: dict[str, Sequence[Callable[[Random], str]]] = {
    "math_answer": (number, number, formula, phrase), "multiple_choice": (letter,), "containment": (number, phrase, letter), "substring": (number, phrase, letter),
    "jaccard": (number, phrase, letter), "final_answer": (number, phrase), "phrase_answer": (five_forms,),
}  # fmt: skip


VALUE = re.compile(
    r"(?:[a-z]=)?(-?)(?:\\frac\{(\d+)\}\{(\d+)\}|(\d+(?:\.\d+)?)(?::(\d+))?)(\\%)?(?: \\text\{ cm\})?"
)


def _value(text: str) -> Fraction | None:
    """The number that a reference of this file is."""
    if (root := re.fullmatch(r"\\sqrt\{([149])\}", text)) is not None:
        return Fraction({"1": 1, "4": 2, "9": 3}[root[1]])
    found = VALUE.fullmatch(text)
    if found is None:
        return None
    above, below = Fraction(found[2] or found[4]), Fraction(found[3] or found[5] or 1)
    return above / below * (-1 if found[1] else 1) / (100 if found[6] else 1)


def _shares(one: str, other: str) -> bool:
    """Whether naming both names one answer: they hold the same numbers (`2 cm` and `x = 2`), are equal
    (`\\frac{3}{6}` and `50\\%`), or their quotient is the first of them (`138 / \\frac{5}{5}`).
    """
    numbers = [set(re.findall(r"\d+", text)) for text in (one, other)]
    return bool(numbers[0] & numbers[1]) or (_value(one) is not None and _value(other) in (_value(one), 1))


def _states_zero(text: str, key: str) -> bool:
    """Whether it is a quotient of zero, which states zero: `0 / 374`."""
    return _value(key) == 0 and re.search(rf"(?<![\d.]){re.escape(key)}\s*/\s*-?[\d\\]", text) is not None


def no_answers(rule: str, count: int, seed: int = 0) -> list[Made]:
    """`count` (response, reference) pairs, of all kinds in turn."""
    rng = Random(f"{rule}:{seed}")
    made: list[Made] = []
    while len(made) < count:
        reference = rng.choice(REFERENCES[rule])
        key = reference(rng)
        other = key
        while re.findall(r"[\w.]+", other) == re.findall(r"[\w.]+", key) or _shares(key, other):
            other = reference(rng)
        text = KINDS[len(made) % len(KINDS)](rng, key, other)
        if not _states_zero(text, key):
            made.append((text, key))
    return made


def passes(rule: str, made: Sequence[Made]) -> list[Made]:
    """Those that the rule calls right, or gives the score of a right answer."""
    module = load("pipelines.rewards", rule)
    rows = [(text, reference, True) for text, reference in made]
    together = getattr(module, "check_many", None)
    verdicts = together(rows) if together else [module.check(*row) for row in rows]
    return [
        row
        for row, verdict in zip(made, verdicts, strict=True)
        if verdict.outcome == "right" or verdict.score >= 1
    ]
