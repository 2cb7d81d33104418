"""Whether a sentence commits itself to an answer. Questions, refusals, guesses, plans and retractions do not,
whatever they mention.

Rules that search a sentence for an answer check this first: a policy soon learns to name many numbers where
that is rewarded, and false passes are the worst kind of error. A doubtful sentence states nothing.
"""

from __future__ import annotations

import re

ASKS = re.compile(r"(?:[?？]|[吗呢]\s*[。.]?)(?:[\"'”’)}\]*_$.!\s]|\\[)\]])*$")
REFUSES = re.compile(
    r"\b(?:(?:i|we|one) (?:really |simply |just |still )?(?:do not|don't|dont|cannot|can't|can not|could not|"
    r"couldn't|am not|are not|won't|did not|didn't)"
    r"|i'?m (?:not|un\w+|afraid|sorry)|unable to|not (?:able|possible|sure|certain|clear|known|enough|given)|"
    r"no idea|impossible to (?:say|tell|know|answer|determine)"
    r"|insufficient|unclear|unsure|uncertain|unknown|as an ai|not enough|cannot be|can't be|could not be"
    r"|refuse|skip)\b"
    r"|不知道|不确定|不清楚|无法|不能(?:确定|回答|判断)|抱歉|对不起|没有(?:足够|办法)",
    re.I,
)
GUESSES = re.compile(
    r"\b(?:maybe|perhaps|possibly|might|may be|could be|could also|either|whether|if|unless|suppose|supposing"
    r"|"
    r"assum(?:e|es|ing)|guess|depends|say|"
    r"hypothetical\w*|candidates?|options? (?:are|include)|choices (?:are|include)|among|between|one of|"
    r"any of|some of|seems?|likely|unlikely|should i|"
    r"wonder\w*|doubt\w*|quiz[aá]s?|tal vez|peut-[eê]tre|vielleicht|forse|talvez)\b|"
    r"可能|也许|或许|大概|是否|假设|假如|如果|要么|还是|之一|候选",
    re.I,
)
PLANS = re.compile(
    r"^\W*now\b|"
    r"\blet \\?\$?[a-z]\$?\s*(?:=|be\b|denote\b)|"
    r"\b(?:let'?s|let us|let me|(?:we|i|you|one) (?:now |first |then |still |also |"
    r"just )?(?:need|want|must|have to|should|will|would|can|could|start|begin|try|"
    r"use|apply|consider|compute|calculate|look|note|know|see|define|denote|multiply|divide|add|subtract|"
    r"expand|simplify|factor|substitute|check)"
    r"|need to|want to|have to|has to|going to|in order to|to (?:find|solve|get|determine|compute|answer|see)"
    r"|"
    r"try(?:ing)?|first(?:ly)?|second(?:ly)?|next|then|step|"
    r"given|previous|known|told|"
    r"(?:in|for) (?:the |this |that |each |either |one )?(?:first |second |third |last |other )?case|case "
    r"(?:\d|[ivx]+|[a-h])|"
    r"gave|mention\w*|consider|recall|notice|note that|remember|check|verify|continue|remaining|approach"
    r"|because|since)\b"
    r"|首先|其次|接下来|然后|需要|我们(?:先|要|可以|需要|来)|设|令|考虑|由于|因为|已知|注意|步骤|继续",
    re.I,
)
TAKES_BACK = re.compile(
    r"\b(?:wait|oops|scratch that|never ?mind|on second thoughts?|disregard|correction|(?:my|a) mistake|"
    r"made an? (?:mistake|error)|take (?:that|it) back|"
    r"let me (?:redo|recompute|recalculate|reconsider|rethink|try again|fix|correct)|i was wrong|"
    r"(?:this|that|it|which|answer|result|above)(?:'s|’s| (?:is|was|must be|seems|"
    r"looks))(?: \w+){0,2}? (?:wrong|incorrect|mistaken|false)|"
    r"(?:isn't|wasn't|is not|was not|cannot be|can't be) (?:quite |really |actually )?(?:right|correct|the "
    r"answer))\b"
    r"|(?:^|[.!?]\s+|\n\s*)(?:(?:actually|hmm+|sorry)\b[,.!: ]|no\b[,.!:])"
    r"|不对|错了|更正|等等|重新(?:算|计算|考虑|看)|纠正",
    re.I,
)
NEGATES = re.compile(
    r"\b(?:not|never|isn't|aren't|wasn't|won't|no|neither|nor|cannot|can't|doesn't|don't|didn't|without|wrong"
    r"|incorrect|false)\b|≠|不(?:是|为|等|对)|并非|没有",
    re.I,
)
DENIES = re.compile(
    r"(?:\b(?:not|never|isn't|aren't|wasn't|cannot be|can't be|neither|nor)|≠|\\neq?|\\lnot|不(?:是|为|等于)|"
    r"并非)[\s$(\[\\:*]*(?:equal to|be|exactly)?[\s$(\[\\*]*$",
    re.I,
)


CONCLUDING = (  # a verb after which a sentence that nothing introduces may say its value, at its end
    r"(?:(?:\b(?:total|sum|value|result|area|volume|cost|price|profit|output|length|perimeter|number|ratio|"
    r"probability|average|mean|distance|speed|time|solution)s?\s*)[:：](?!\d)"
    r"|\b(?:is|are|was|were|be|equals?|has|have|had|costs?|total(?:s|ed)?|est|takes?|took|makes?|made|gets?"
    r"|obtain(?:s|ed)?|"
    r"got|gives?(?: us)?|earn(?:s|ed)?|spen(?:d|ds|t)|needs?|needed|left"
    r"|in total|receive[sd]?|(?:walk|travel|collect|plant|own|score|weigh|sav|bak|charg|remain|rais|donat|"
    r"work|requir|produc)(?:s|es|ed)?|r[au]ns?|dr[io]ves?|sells?|sold"
    r"|buys?|bought|pays?|paid|eats?|ate|los(?:es|t)|wins?|won|reads?|drinks?|drank|owes?|owed|grew|contains?"
    r"|holds?"
    r"|(?:comes?|came|amounts?|adds? up|sums?|reduces?|simplifies|evaluates?|leads?|equal) (?:out )?to)\b"
    r"|=|\\approx\b|为|是|有|共|得|等于|需要?|花了?|剩下?)"
)
AIMS = re.compile(
    r"\b(?:show|prove|check|verify|see|confirm|test|claim|argue|find out)\s+"
    r"(?:that\s+|whether\s+)?(?:the|our|my)\s+(?:\w+ )?(?:answer|result|solution)s?\b"
    r"|\b(?:not true|untrue|false|incorrect|wrong|not the case) that\b"
    r"|\banswer\s+(?:would|could|might|may)\b|\bfor (?:example|instance)\b|^\W*example\b|\bis it true\b"
    r"|\b(?:thinks|believes|claims|says|said|thought|claimed|believed)\s+(?:that\s+)?(?:the|his|her"
    r"|their)\s+(?:\w+ )?answer\b"
    r"|\b(?:one|another|old|previous|earlier) answer\b",
    re.I,
)
MORE = re.compile(r"^[\s.,;:$)\]]*(?:or|or maybe|or else|alternatively|或|或者)\b", re.I)
OPEN_END = re.compile(r"\.\.\.|…|\\(?:ldots|dots|cdots)\b|\betc\b|等等")


def reason_undecided(sentence: str) -> str:
    """Returns why a sentence that introduces an answer (`the answer is …`) states none; "" where it states
    one.
    """
    if ASKS.search(sentence):
        return "the answer is asked, not stated"
    if REFUSES.search(sentence):
        return "no answer is given"
    return (
        "the answer is a guess, an aim or a condition"
        if GUESSES.search(sentence) or AIMS.search(sentence)
        else ""
    )


def reason_uncommitted(sentence: str) -> str:
    """Returns why a sentence without such an introduction states no answer; "" where it may state one."""
    return reason_undecided(sentence) or (
        "the last line is a step on the way, no answer" if PLANS.search(sentence) else ""
    )


def retracts(after: str) -> bool:
    """Returns whether the text after an answer retracts it."""
    return TAKES_BACK.search(after) is not None


def has_negation(sentence: str) -> bool:
    """Returns whether the sentence contains a negation."""
    return NEGATES.search(sentence) is not None


def offers_alternative(after: str) -> bool:
    """Returns whether the text after an answer offers an alternative: `5. Or 6.`"""
    return MORE.match(after) is not None


def ends_in_negation(text: str) -> bool:
    """Returns whether `text`, which precedes an answer, ends by negating it: `the answer is not`, `x ≠`."""
    return DENIES.search(text[-40:]) is not None
