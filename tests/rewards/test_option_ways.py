"""More ways to say an option, and to name one without choosing it: in other languages, with marks, as opinions of others."""

from __future__ import annotations

import pytest

from pipelines.rewards.multiple_choice import check

CHOSEN_B = """Therefore the answer is **B) Paris**.
The only option that fits is B.
I choose B over A.
Must be B.
Clearly B.
La bonne réponse est la B.
La respuesta es la opción B
La opción correcta es la B.
Richtig ist B.
정답은 B입니다
B ist richtig.
B es correcta.
B est correct.
B is my final answer.
Going with B.
I vote B
I'm going with (B)
Final: B
The answer is <b>B</b>.
The answer is B✅
Answer: B ✔""".splitlines()
NOT_CHOSEN_B = """Everything except B is correct
Everything but B is right
John thinks B is correct
He believes B is the right answer
No B es correcta
B ist nicht richtig
A und B ist richtig
B est correct ?
La respuesta no es la B
정답은 B가 아닙니다
答えはBではない
答えはBですか
B is the final letter of AB
I vote B or C
B ❌""".splitlines()
NOT_CHOSEN_A = """Final: A good idea is needed
Clearly A dog
Richtig ist A oder B.
La réponse est la A ou la B
정답은 A 또는 B
答えはAかB
The answer is A) 1, B) 2
The answer is A, A two, B.
答案是A或A two。""".splitlines()


@pytest.mark.parametrize(
    ("text", "letter", "right"),
    [
        *((text, "B", "right") for text in CHOSEN_B),
        *((text, "B", "wrong") for text in NOT_CHOSEN_B),
        *((text, "A", "wrong") for text in NOT_CHOSEN_A),
    ],
)
def test_every_way(text: str, letter: str, right: str):
    assert check(text, letter, True).outcome == right
