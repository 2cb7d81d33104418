"""Extracts the final answer of a response: after the single `####`, in `<answer>` tags, in the last box, or
in the closing statement (reward_bridge.md 2.1).

The last answer counts, unless it is retracted. This module reads marks, `statements` reads prose. Time is
linear in the length of the response.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pipelines.rewards.answers.answer_text import has_words, normalize
from pipelines.rewards.answers.commitment import ends_in_negation, retracts
from pipelines.rewards.answers.statements import (
    BULLET,
    StatedAnswer,
    closing_statement,
    first_line_with_display,
    last_line,
    stated_answer,
    without_lead_in,
    without_strikethrough,
)
from pipelines.rewards.answers.units import parse_unit

__all__ = [
    "BOXES",
    "MARK",
    "StatedAnswer",
    "extract_final_answer",
    "extract_reference",
    "last_boxed",
    "last_line",
    "reason_no_final_answer",
    "without_lead_in",
]

MARK = "####"
BOXES = ("\\boxed", "\\fbox")
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
MARKS = re.compile(r"#{4,}")
TITLE = re.compile(
    r"[\s*_]*(?:\d+[.)]\s+(?=.*[A-Za-z]{3})|(?:step|part|case|method|section|approach)\b|"
    r"(?:the |your |my )?(?:final |full |detailed |short )?(?:answer|solution|explanation|check(?:ing)?|"
    r"verification|verify|conclusion|reasoning|proof|summary|"
    r"analysis|notes?|why|justification|given|setup|calculations?|computation|result|steps?)\b[\s*_:]*$)|"
    r"\s*(?:最终)?(?:答案|解答|解析|分析|验证|检验|总结|步骤)[\s*：:]*$",
    re.I,
)
THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning|scratchpad)>|<\|?end_of_thought\|?>", re.I)
TAGGED = re.compile(
    r"<(answer|final_answer|solution)>|<\|(?:begin|start)_of_(?:solution|answer)\|>|\[(answer)\]", re.I
)  # and its closing form
CLOSED = re.compile(r"</(?:answer|final_answer|solution)>|<\|end_of_(?:solution|answer)\|>|\[/answer\]", re.I)
TURN_ENDS = re.compile(
    r"(?:\s*(?:<\|(?!(?:end|begin|start)_of_(?:thought|solution|answer))[^<>|\s]{1,40}\|>|</s>|<eos>"
    r"|<end_of_turn>|<｜[^<>｜]{1,40}｜>))+\s*$"
)
OPENED = re.compile(r"<(?:think|thinking|thought|scratchpad)>|<\|?begin_of_thought\|?>", re.I)
BETWEEN_BOXES = re.compile(
    r"[ \t$,;.:?/()\\]*(?:and|or|und|\\text\{\s*(?:and|or)\s*\}|和|或|、)?"
    r"[ \t$,;:()\\]*(?:[A-Za-z]\w?\s*=)?[ "
    r"\t$]*"
)
GOES_ON = re.compile(
    r"[\s$)}\\\]]*(?:[?？]|(?:or|或|maybe|perhaps|possibly)\b|(?:is|was|are|does|can|will)\s*(?:not\b|n['’]t\b"
    r"|wrong|incorrect|false|impossible|excluded)|cannot\b|fails\b)",
    re.I,
)
KEYED = re.compile(r'\{[^{}]*"(?:final_?)?answer"\s*:\s*(?:"([^"{}]+)"|([^",{}\s]+))[^{}]*\}[\s`.]*$', re.I)
HEDGED = re.compile(r"\b(?:maybe|perhaps|possibly|otherwise|else)\b[\s,:]*(?:\$|\\[(\[])?\s*$", re.I)
MORE = re.compile(r"\s*(?:(?:or|或)\b|\d)")
PLAIN_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d{1,30})(?:\.\d{1,30})?")
SAYS = re.compile(
    r"^\W*(?:(?:so|thus|hence|therefore|actually)\b,?\s*)?(?:the |my )?(?:final |correct )?answer(?: is"
    r"|:)[\s$*:]*"
    r"(-?\d[\d,]*(?:\.\d+)?)[\s$*.]*$",
    re.I,
)
UNITED = re.compile(
    r"[\s~]*(?:\\[,;: !]\s*)*\\(?:text|mathrm|textrm"
    r"|mbox)\s*\{\s*([^{}]{1,30}?)\s*\}((?:\s*\^\s*(?:\{\s*-?\d\s*\}|\d))?)"
)
RAISED = re.compile(r"\s*(?:[\^_](?:\{[^{}]{1,20}\}|\\circ(?![A-Za-z])|\w(?!\w))|\\%|%)")
FACTOR = re.compile(  # what goes on behind a box in its formula
    r"[ \t}]*(?:\d|\^|\{,\}\d|[.,:]\d|_(?=[\d{])|[-+*/]\s*(?:\d|\(|\\(?!text|[\])])|[b-hj-z](?![A-Za-z]))|![ "
    r"\t]*(?:\$|\\[)\]])"
    r"|\\(?:cdot|times|[dt]?frac\s*(?!\{\s*\\(?:text|mathrm))|sqrt|pi|div|pm|mp|binom|cup|cap|ldots|dots"
    r"|cdots|colon)(?![A-Za-z])"
    r"|[,;][ \t]*(?:\\[lc]?dots|\d[\d.]*[ \t]*(?:$|[$)\]}]|\\[)\]]))|\\text\s*\{\s*(?:or|and|hundred|thousand"
    r"|million|billion|trillion)\b"
    r"|\$?[ \t]*(?:hundred|thousand|million|billion|trillion)\b)"
)
# of `y = \boxed{5}x` the box is the coefficient that is asked for
VARIABLE = re.compile(r"[ \t}]*[xyznkabt](?![A-Za-z'’])")
FACTOR_BEFORE = re.compile(  # and what stands before it: an operator, a minus that is no dash, a number
    r"(?:[+*/^_]|(?<![\s-])-|[^\s-]\s+-|[\d)]|(?<![A-Za-z\\])[xyznk]|\\(?:cdot|times|[dt]?frac|sqrt|pi|div|pm"
    r"|mp))\s*\{?(?<!\\\\)$"
    r"|\\[dt]?frac\s*\{[^{}]*\}\s*\{$|\$[^$]*(?:\d\s*,|[a-z]\()\s*$"
)
SIGN = re.compile(r"(?:^|[$=(\n]|\\[(\[])\s*-$|(?:[$=]|\\[(\[])\s*-\s*$")
CLOSING = 4  # characters that end a sentence
LONG = 1200  # characters after an answer in which it may be taken back
SENTENCES = re.compile(r"[.!?]\s+[A-Z(\\$]|[。！？]\s*\S")


def last_boxed(text: str) -> str | None:
    """Returns the content of the last `\\boxed{...}`, with matched braces; None without a box, or where its
    brace is never closed.
    """
    box = _box_before(text, len(text))
    return box[0] if box else None


def extract_final_answer(text: str) -> StatedAnswer:
    """Returns the answer that a response states. More than one `####` counts as no answer, so that listing
    candidates is not rewarded.
    """
    if not text.isascii():
        text = text.translate(INVISIBLE)
    text = without_strikethrough(text)
    if ">" in text[-60:]:
        text = TURN_ENDS.sub("", text)
    if reasoning_unclosed(text):
        return StatedAnswer("", "no answer after the reasoning")
    if MARK in text:
        marked = _marked_answer(text)
        if marked is not None:
            return marked
    return _unmarked_answer(text)


def reasoning_unclosed(text: str) -> bool:
    """Returns whether the text opens a reasoning tag and never closes it: nothing inside is an answer."""
    if "<" not in text[:200]:
        return False
    opened = OPENED.match(text.lstrip())
    return opened is not None and THOUGHT.search(text) is None


@lru_cache(maxsize=4096)
def extract_reference(answer: str) -> str:
    """Returns the reference answer in a data set's text: after `####`, in the box, or at the end of a worked
    solution (`A: 15`); else the whole text.
    """
    after = answer.rpartition(MARK)[2].strip()
    boxed = last_boxed(after)
    if boxed is not None:
        return boxed
    if (tagged := _tagged_answer(after)) is not None and tagged.text:
        return tagged.text
    stated = stated_answer(last_line(after))
    return stated.text if stated is not None and stated.text else after


@lru_cache(maxsize=4096)
def reason_no_final_answer(answer: str) -> str:
    """Returns why the reference cannot be matched by any answer (several sentences of prose, and none marked
    as the answer), or "".
    """
    reference = extract_reference(answer).strip()
    lines = [line for line in reference.splitlines() if re.search(r"[^\W\d_]{2,}\s+[^\W\d_]{2,}", line)]
    sentences = len(SENTENCES.findall(reference)) + 1
    if len(lines) > 1 or (sentences > 1 and len(re.findall(r"[A-Za-z]{2,}|[㐀-鿿]", reference)) > 8):
        return (
            f"the reference is a worked solution ({max(len(lines), sentences)} sentences) without a final "
            f"answer: nobody could be right. "
            f"Keep the answer alone, or end it with `{MARK} answer`, \\boxed{{answer}} or `The answer is …`"
        )
    return ""


def _marked_answer(text: str) -> StatedAnswer | None:
    """Returns the answer after the single `####`; None where every `####` is a heading."""
    answers, lines = [], []
    for mark in MARKS.finditer(text):
        end = text.find("\n", mark.end())
        end = len(text) if end < 0 else end
        line = text[mark.end() : end]
        at_start = not text[text.rfind("\n", 0, mark.start()) + 1 : mark.start()].strip(" >*_")
        if not (at_start and TITLE.match(line) and (text[end:].strip() or stated_answer(line) is None)):
            answers.append((mark.end(), end))
        lines.append(mark.start())
    if not answers:
        return None if text[MARKS.search(text).end() :].strip() else StatedAnswer("", "no final answer")  # type: ignore[union-attr]
    if len(answers) > 1:
        return StatedAnswer("", f"{len(answers)} final answers")
    start, end = answers[0]
    following = next((place for place in lines if place > start), len(text))  # the next heading
    line, after = text[start:end].strip(), text[end:]
    if not line:
        return _unmarked_answer(after) if after.strip() else StatedAnswer("", "no final answer")
    if (boxed := _boxed_answer(text[start:])) is not None:
        return boxed
    statement = first_line_with_display(text[start:following])
    after = text[start + len(statement) :] if len(statement) > end - start else after
    if retracts(after[:LONG]) or retracts(after[-LONG:]):
        return _later_answer(after)
    said = without_lead_in(statement)
    return (
        StatedAnswer("", "2 final answers")
        if _is_contradicted(said, after[:LONG])
        else StatedAnswer(said, stated=True)
    )


def _is_contradicted(content: str, after: str) -> bool:
    """Whether the text after a marked number calls another number the answer: `\\boxed{2}`, then `The answer
    is 3.`
    """
    ours = PLAIN_NUMBER.fullmatch(content.strip(" $.*"))
    if ours is None or "nswer" not in after:
        return False
    said = [PLAIN_NUMBER.fullmatch(match[1]) for line in after.splitlines() for match in SAYS.finditer(line)]
    return bool(said) and all(
        number is None or float(number[0].replace(",", "")) != float(ours[0].replace(",", ""))
        for number in said
    )


def _later_answer(after: str) -> StatedAnswer:
    """Returns the answer after one that was retracted, if any."""
    later = _unmarked_answer(after)
    return later if later.stated else StatedAnswer("", "the answer is taken back")


def _unmarked_answer(text: str) -> StatedAnswer:
    thoughts = (
        [thought.end() for thought in THOUGHT.finditer(text)] if "</" in text or "end_of" in text else []
    )
    if thoughts:
        text = text[thoughts[-1] :]
        if not text.strip():
            return StatedAnswer("", "no answer after the reasoning")
    tagged = _tagged_answer(text)
    if tagged is not None:
        return tagged
    if (keyed := KEYED.search(text[-LONG:])) is not None:
        return StatedAnswer(without_lead_in(keyed[1] or keyed[2]), stated=True)
    boxed = _boxed_answer(text)
    return boxed if boxed is not None else closing_statement(text)


def _tagged_answer(text: str) -> StatedAnswer | None:
    """Returns the content of `<answer>` tags; several different ones are no answer."""
    # case folding a long text costs more than all the rest
    if not any(part in text for part in ("nswer", "NSWER", "olution")):
        return None
    held: list[str] = []
    end = 0
    for opening in TAGGED.finditer(text):
        if opening.start() < end:
            continue
        closing = CLOSED.search(text, opening.end())
        if closing is None and opening[2]:
            continue  # [answer] alone may be any text
        end = closing.end() if closing else len(text)
        held.append(text[opening.end() : closing.start() if closing else len(text)].strip())
    if not held or any(box in text[end:] for box in BOXES):
        return None
    if len(set(held)) > 1:
        return StatedAnswer("", f"{len(held)} final answers")
    if MORE.match(text, end):
        return StatedAnswer("", "several answers are named")
    if retracts(text[end:][:LONG]):
        return _later_answer(text[end:])
    if _is_contradicted(held[0], text[end:][:LONG]):
        return StatedAnswer("", "2 final answers")
    inner = _boxed_answer(held[0])
    if inner is not None:
        return inner
    if "\n" not in held[0]:
        return StatedAnswer(
            without_lead_in(held[0]), "" if held[0] else "the answer tags are empty", stated=True
        )
    closing_answer = closing_statement(held[0])
    return StatedAnswer(closing_answer.text, closing_answer.reason, stated=True)


def _boxed_answer(text: str) -> StatedAnswer | None:
    """Returns the last box, together with earlier boxes that only separators divide from it: they form a
    list.
    """
    box = _box_before(text, len(text))
    if box is None:
        return None
    content, start, end = box
    if GOES_ON.match(text, end):
        return StatedAnswer("", "the boxed answer is a question or one of several")
    if HEDGED.search(text[max(0, start - 40) : start]):
        return StatedAnswer("", "the boxed answer is a guess or a condition")
    if ends_in_negation(text[:start]):
        return StatedAnswer("", "the boxed answer is denied")
    if len(text) - end > CLOSING and retracts(text[end : end + LONG]):
        return _later_answer(text[end:])
    if any(word in text[end:] for word in ("nswer", "NSWER", "答案", "esult")):
        later = closing_statement(text[end:])
        if later.stated and any(map(str.isalnum, later.text)) and not has_words(normalize(later.text)):
            return later
    parts = [content]
    while (before := _box_before(text, start)) is not None and BETWEEN_BOXES.fullmatch(
        text, before[2], start
    ):
        if "/" in text[before[2] : start]:
            return StatedAnswer("", "the boxes are a quotient or alternatives")
        parts.append(before[0])
        start = before[1]
    if len(parts) > 1 and len(set(parts)) > 1:
        return StatedAnswer(" , ".join(reversed(parts)), stated=True)
    if content and len(parts) == 1 and (complete := _with_factors(text, content, start, end)) != content:
        return StatedAnswer(complete, "" if complete else "the box is a part of a formula", stated=True)
    return StatedAnswer(content, "" if content else "the box is empty", stated=True)


def _with_factors(text: str, content: str, start: int, end: int) -> str:
    """Returns the boxed content with the sign, power, base or unit next to it. "" where the box is one term
    or factor of several (`2\\boxed{5}`, `\\boxed{5} + 1`); a member of an equation (`3 + \\boxed{5} = 8`) is
    returned as it is.
    """
    line = text.find("\n", end)
    after = text[end : line if line >= 0 else len(text)][:LONG]
    before = text[max(text.rfind("\n", 0, start) + 1, start - LONG) : start]
    if (raised := RAISED.match(after)) is not None:
        content, after = content + raised[0].strip(), after[raised.end() :]
    elif (
        content[-1:].isdigit()
        and (united := UNITED.match(after)) is not None
        and (known := parse_unit(normalize(united[1].strip("~ ") + united[2]))) is not None
        and known.dimension
    ):
        content, after = (
            f"{content} \\text{{ {united[1].strip('~ ')}}}{united[2].strip()}",
            after[united.end() :],
        )
    if "=" in after.partition("$")[0].partition("\\")[0]:
        return content
    if SIGN.search(before):
        content = f"-{content}" if content[:1] not in "+-" else f"-({content})"
    elif FACTOR_BEFORE.search(before) and not BULLET.fullmatch(before.lstrip()):
        return ""
    return "" if FACTOR.match(after) or (VARIABLE.match(after) and "=" not in before) else content


def _box_before(text: str, limit: int) -> tuple[str, int, int] | None:
    """Returns (content, start, end) of the last box that begins before `limit`."""
    start = max(text.rfind(box, 0, limit) for box in BOXES)
    if start < 0:
        return None
    opening = start + len("\\boxed" if text.startswith("\\boxed", start) else "\\fbox")
    while opening < len(text) and text[opening].isspace():
        opening += 1
    if not text.startswith("{", opening):
        bare = text[opening:].split("\n")[0].split("$")[0].split(" ")[0]
        return (bare, start, opening + len(bare)) if bare else None
    depth = 0
    for place in range(opening, len(text)):
        character = text[place]
        if character in "{}" and text[place - 1] != "\\":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return text[opening + 1 : place].strip(), start, place + 1
    return None
