"""Multiple choice to free form: which questions make sense without their options, and what they ask then
(reward_bridge.md 1.4).

The rules are in the order of that section; each question is removed by the first rule that applies, and every
rule counts what it removed.
"""

from __future__ import annotations

import re
from collections import Counter

from pipelines.corpora.cleaning.text import normalise
from pipelines.corpora.exams.item import ExamItem, ExamQuestion
from pipelines.corpora.exams.shapes import shape_of
from pipelines.corpora.exams.subjects import field_of

REASONS = (
    *("empty", "passage", "figure", "no_short_answer", "several_or_no_gold"),
    *("option_dependent", "long_options_after_copula", "meta_option", "short_stem"),
)
LEADING = re.compile(r"^\s*(?:\(?\d{1,3}\)?\s*[.．、)]\s*)?(?:[（(]\s*\d{1,2}\s*分\s*[）)]\s*)?")
EMPTY = r"[（(]\s*\$?(?:\\q?quad|\s)*\$?\s*[）)]"
BLANK = re.compile(rf"\s*(?:\$\s*{EMPTY}\s*\$|{EMPTY}|_{{2,}})\s*[.。．]?\s*(?:\\\\)?\s*$")
LETTER = re.compile(r"^\s*[（(]?\s*([A-JＡ-Ｊ])\s*(?:[)）.．、:：]|(?=\$))\s*")
FIGURE = re.compile(
    r"\b(?:figure|diagram|graph|chart|table|map|picture|image|cartoon|photograph|illustration)s?\b"
    r"[^.?]{0,30}\b(?:above|below|shown|shows?)\b"
    r"|\b(?:shown|given|listed) (?:above|below)\b|\bin the (?:accompanying )?(?:figure|diagram|graph|table"
    r"|map|illustration)\b"
    r"|\\begin\{(?:tabular|array|figure)\}|\\includegraphics|!\[|\.(?:png|jpg)\b"
    r"|如图|图中|[上下左右]图|图示|图\s*\d|见图|表中|下表|如表|图所示|表所示",
    re.I,
)
PASSAGE = re.compile(
    r"\bthe (?:above )?passage\b|\baccording to the (?:text|author|article)\b|\bunderlined\b|\bin lines? \d"
    r"|\bprevious (?:problem|question)\b"
    r"|划线|短文|阅读(?:下面|下列|材料)",
    re.I,
)
DEPENDENT = re.compile(
    r"\bwhich (?:one )?of\b|\bof the following\b|\bthe following (?:is|are|statements?)\b|\b(?:best|most) "
    r"(?:accurately )?describes?\b"
    r"|\bmost nearly\b|\b(?:above|below)\b|\bexcept\b[^.]{0,12}$|\bwhich (?:\w+ ){0,2}(?:statement|option"
    r"|choice|answer|alternative)s?\b"
    r"|\bis (?:true|false|correct|incorrect)\s*[?:]?\s*$"
    r"|下列|下面|以下|哪一?项|哪一?组|正确的是|错误的是|不包括|说法|叙述|不正确|符合题意|选项|其中(?:正确|错误)",
    re.I,
)
SHOUTED = re.compile(r"\b(?:EXCEPT|NOT|LEAST)\b")
COPULA = re.compile(
    r"(?:\b(?:is|are|was|were|be|been|has|have|will|would|that|to|because|by)|是|为|在于|说明|表明|反映)\s*[:：]?\s*$",
    re.I,
)
META = re.compile(
    r"\b(?:all|none|any|both|neither|either) of (?:the )?(?:above|these|them|those|other)\b|\bnone "
    r"of\b.*\bcorrect\b"
    r"|^(?:all|none|both|neither)\W*$|^(?:true|false),\s*(?:true|false)\W*$"
    r"|\b(?:both|either|neither)\s*\(?[A-E]\)?\s*(?:and|or|nor)\b|^\(?[A-E]\)?\s*(?:and|or|&"
    r"|,)\s*\(?[A-E]\)?\W*$|^\(?[A-E]\)?\W*$"
    r"|[①②③④⑤⑥]|^\(?[IVX]{1,4}\)?(?:[ ,]|and|only)*\(?[IVX]{0,4}\)?(?: only)?\W*$|\bstatements? \d\b"
    r"|\b(?:cannot|can ?not|can't) be (?:determined|calculated|inferred)\b|\bnot enough information\b"
    r"|以上|无法确定"
    r"|不能确定|都不|均不",
    re.I,
)
MAX_OPTION_WORDS = 25


def convert(item: ExamItem, source: str, counts: Counter[str]) -> ExamQuestion | None:
    """Returns the free-form question with its reference; None where there is none, and counts the rule that
    removed it.
    """
    reason, stem, answer = _apply(item)
    if reason:
        counts[reason] += 1
        return None
    counts["kept_multiple_choice" if item.options else "kept_free_form"] += 1
    meta = {key: value for key, value in item.meta.items() if value not in (None, "", [])}
    if item.options:
        meta["options"] = [without_letter(option) for option in item.options]
    return ExamQuestion(
        item.id,
        stem,
        answer,
        item.subject,
        field_of(item.subject, item.domain),
        source,
        item.language,
        shape_of(answer),
        meta=meta,
    )


def question_stem(question: str) -> str:
    """Returns the question without its number, marks and the blank at its end; a blank inside stays, and the
    rest is as published.
    """
    prefix = LEADING.match(question)
    return BLANK.sub("", question[prefix.end() :] if prefix and prefix.group().strip() else question)


def without_letter(option: str) -> str:
    """Returns the text of an option without its letter."""
    return LETTER.sub("", option, count=1).strip().rstrip(".。;；,，").strip()


def _apply(item: ExamItem) -> tuple[str, str, str]:
    """Returns (reason against it or ``, stem, answer)."""
    published_stem = question_stem(item.question)
    stem = normalise(published_stem).strip()  # what the rules look at
    if not stem:
        return "empty", "", ""
    if item.passage or PASSAGE.search(stem):
        return "passage", "", ""
    if FIGURE.search(stem):
        return "figure", "", ""
    if not item.options:
        return ("", published_stem, item.answer) if item.answer.strip() else ("no_short_answer", "", "")
    if item.gold is None or not 0 <= item.gold < len(item.options):
        return "several_or_no_gold", "", ""
    if DEPENDENT.search(stem) or SHOUTED.search(stem):
        return "option_dependent", "", ""
    options = [without_letter(option) for option in item.options]
    if COPULA.search(stem) and max(word_count(option) for option in options) > MAX_OPTION_WORDS:
        return "long_options_after_copula", "", ""
    answer = options[item.gold]
    if not answer:
        return "empty", "", ""
    if META.search(answer):
        return "meta_option", "", ""
    return (
        ("short_stem", "", "")
        if word_count(stem) < 4 and not re.search(r"[\d\\]", stem)
        else ("", published_stem, answer)
    )


def word_count(text: str) -> int:
    """Returns the number of words; a CJK character counts as half a word."""
    cjk = len(re.findall(r"[㐀-鿿]", text))
    return len(re.findall(r"[^\W㐀-鿿]+", text)) + cjk // 2
