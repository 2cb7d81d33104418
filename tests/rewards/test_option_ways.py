"""More ways to say an option, and to name one without choosing it: in other languages, with marks, as
opinions of others.
"""

from __future__ import annotations

import pytest

from pipelines.rewards.rules.multiple_choice import check

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

UNDER_A_CONDITION = """Si llueve, B es correcta
Si llueve, B es correcta.
Si llueve, la respuesta es B.
Si llueve, entonces B es correcta.
S'il pleut, B est correcte.
S’il pleut, la réponse est B.
Si x > 0, la réponse est B.
Wenn es regnet, ist die Antwort B.
Falls es regnet, B ist richtig.
Wenn es regnet, B ist richtig.
Se piove, B è corretta.
Se piove, la risposta è B.
Se chover, a resposta é B.
Cuando llueve, B es correcta.
If it rains, B is correct.
If it rains, the answer is B.
If it rains, then B is correct.
When it rains, B is correct.
Unless it rains, B is correct.
Assuming that it rains, B is correct.
Suppose it rains, then B is correct.
In case it rains, B is correct.
Provided it rains, B is correct.
Had it rained, B would be correct.
Were x even, B would be correct.
B would be correct if it rained.
如果下雨，B是正确的。
若x大于0，则答案是B。
假如下雨，选B。
もし雨なら、答えはB
If it rains, B is correct; otherwise C is.
B es correcta si llueve.
B est correcte s'il pleut.
B est correcte si x > 0.
La respuesta es B si llueve.
B ist richtig, wenn es regnet.
B ist richtig, falls es regnet.
Die Antwort ist B, wenn es regnet.
B è corretta se piove.
La risposta è B se piove.
Quizás B es correcta.
Tal vez B es correcta.
Peut-être B est correcte.
Vielleicht ist B richtig.
Vielleicht: B ist richtig.
Forse B è corretta.
Talvez B é correta.
No creo que B es correcta.
Je ne pense pas que B est correcte.
Ich glaube nicht, dass B richtig ist.
¿B es correcta?
La respuesta no es B.
La réponse n'est pas B.
Die Antwort ist nicht B.
La risposta non è B.
A resposta não é B.
La respuesta es B o C.
La réponse est B ou C.
Die Antwort ist B oder C.
~~The answer is B.~~""".splitlines()
ARGUED = """La respuesta es B.
B es correcta.
Por lo tanto, B es correcta.
La réponse est B.
B est correcte.
Die Antwort ist B.
B ist richtig.
La risposta è B.
A resposta é B.
Sí, B es correcta.
Si multiplicamos por 2, obtenemos 4, así que B es correcta.
If we multiply by 2, we get 4, so B is correct.
If x = 3, then the area is 9. So the answer is B.
If x = 3, the area is 9, hence B is correct.
Since it rains, B is correct.
Because it rains, the answer is B.
When we add both, we get 5, therefore B is correct.
如果x=3，面积为9，所以选B。
Whatever happens, B is correct.
B is correct because if it rains, the ground is wet.
The answer is B: if it rains, the ground gets wet.
B es correcta, si bien C parece posible.""".splitlines()


@pytest.mark.parametrize(
    ("text", "letter", "right"),
    [
        *((text, "B", "right") for text in CHOSEN_B),
        *((text, "B", "wrong") for text in NOT_CHOSEN_B),
        *((text, "A", "wrong") for text in NOT_CHOSEN_A),
        *((text, "B", "wrong") for text in UNDER_A_CONDITION),
        *((text, "B", "right") for text in ARGUED),
    ],
)
def test_every_way(text: str, letter: str, right: str):
    assert check(text, letter, True).outcome == right
