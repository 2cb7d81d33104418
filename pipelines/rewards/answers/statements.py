"""Extracts the answer from the prose at the end of a response: introductions, headings, displayed
mathematics, courtesy lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.rewards.answers.commitment import ASKS, offers_alternative, reason_undecided, retracts

TAIL = 20_000  # characters at the end of a response in which its closing statement is looked for
LINES = 200  # lines that one display may span
LEAD_IN = re.compile(
    r"^(?:[\W_]*(?:so|thus|hence|therefore|finally|in conclusion|in summary|to sum up|altogether|consequently"
    r"|"
    r"we (?:get|have|find|conclude)|that is)\b[,:]?\s*"
    r"(?:that\s+)?)*[\W_]*?"
    r"(?:(?:the|our|my|your|its)?\s*(?:final|correct|right|full|short|best)?\s*(?:answers?|results?|"
    r"solutions?(?: set)?|value|output|option|choice)"
    r"(?:\s+(?:to|of|for)\s+[^:=]{1,60}?)?[\s*_]*(?:(?:(?:is|are|was)(?!n['’]t)|=|:)\s*:?|→|-+>|(?:--+"
    r"|[—–])\s)|a\s*:|ans(?:wer)?(?:\s*[.:]|\s+-\s))",
    re.I,
)
WITHIN = re.compile(
    r"\b(?:the|our|my)\s+(?:final |correct |right |full |short |best )?(?:answers?|results?|"
    r"solutions?(?: set)?)(?:\s+(?:to|of|for)\s+[^:=.]{1,60}?)?[\s*_]*"
    r"(?:(?:is|are|was)(?!n['’]t)|=|:|must be|should be|has to be|equals|comes (?:out )?to(?: be)?)\s*:?"
    r"|\b(?:the|our|"
    r"my) (?:final )?answer\s+(?=[\d$(\\-])|(?:答案|结果)(?:应该|"
    r"应)?(?:是|为|[:：])",
    re.I,
)
CALLED = re.compile(
    r"(.{1,80}?)\s+(?:is|are) (?:therefore |thus |hence )?(?:the|our|my) (?:final |correct |right "
    r")?(?:answers?|solutions?)\W*",
    re.I | re.S,
)
CHINESE_LEAD_IN = re.compile(
    r"^[*_\s]*(?:所以|因此|故|综上|即|那么|于是|从而)?(?:所述)?[,，]?\s*(?:本题|此题|该题|这道题)?的?"
    r"(?:[【\[]\s*(?:最终|正确)?(?:答案|结果)\s*[】\]]\s*(?:是|为|[:：])?|(?:最终|正确)?(?:答案|结果)(?:应该|应)?(?:是|为|[:：])+|(?:解"
    r"|答)\s*[:：]"
    r"|选项?\s*(?:是|为|[:：])|故?选(?=\s*[（(]?[A-J]))\s*[:：]?\s*|^(?:所以|因此|故|综上|即)[,，]?\s*(?=[\d\\$(\[（-])"
)
FOREIGN_LEAD_IN = re.compile(
    r"^\W*(?:(?:la|a|il|die|o|le)\s+)?(?:(?:richtige|endgültige)\s+)?"
    r"(?:respuesta|réponse|antwort|resposta|risposta|ответ|答え|解答|정답|답)(?:\s+(?:final|finale|correct[ae]"
    r"|corrett[ao]))?"
    r"(?:\s*[:：]|\s+(?:es|est|ist|é|è)\b\s*:?|\s*[はは은]\s*[:：]?)",
    re.I,
)
CALLED = re.compile(  # `$x=5$ is the answer`: mathematics alone before it
    r"^(?:(?:so|thus|hence|therefore|then|finally)\b[,:]?\s*)?((?:(?!\\text)\\[A-Za-z]+|[^A-Za-z]"
    r"|(?<![A-Za-z])[A-Za-z]{1,2}(?![A-Za-z]))*[\d})$\]]"
    r"[\s$)*]*?)\s+is\s+(?:the|our|my)\s+(?:final |correct |only |unique |required |desired )?(?:answer"
    r"|solution|result)\W*$",
    re.I,
)
BOLD = re.compile(r"(?<![\w*^)}])\*\*([^*\n]+?)\*\*(?![\w*])")
CONNECTIVE = re.compile(r"^(?:so|thus|hence|therefore)\b[,:]?\s*", re.I)
# blanks of TeX are closed in
STRUCK = re.compile(r"(?<![^\s(*])~~(?=\S)[^~\n]{1,400}?(?<=\S)~~(?![^\s.,;:!?)*])")
HOPE = re.compile(r"\.?\s*I hope it is correct\.?\s*$", re.I)
DONE = re.compile(r"(?:[\s$]*(?:\\(?:blacksquare|square|Box|qed)\b|∎|■|□|\bQ\.?E\.?D\.?)[\s$.]*)+$")
BULLET = re.compile(r"^[-*•>]\s+")
COURTESY = re.compile(
    r"^\W*(?:(?:i|we) (?:really )?hope\b|hope (?:this|that|it)|let me know|feel free|if you(?:'d| have| need|"
    r" want| would| are| still)\b|please (?:let|note|feel|do)|"
    r"(?:i'm |i am )?(?:happy|glad) to|good luck|thanks?\b|is there anything|would you like|(?:any|"
    r"do you have (?:any )?)(?: other| more| further)? ?questions?|"
    r"best regards|cheers|希望|如有|如果[您你]|祝|谢谢|请问还有)",
    re.I,
)
NO_TEXT = re.compile(r"^(?:\W*|</?[\w|]+>|<\|[\w]+\|>|`{3,}\w*)$")
EXPLAINS = re.compile(
    r"^\W*(?:explanation|check(?:ing)?|verification|justification|note|proof|reasoning|why|this is because|"
    r"this follows|because|解析|验证|检验)\b",
    re.I,
)
ASIDE = re.compile(
    r"^(?:which (?:is|was|matches)|as (?:required|desired|claimed|needed|expected)|this (?:matches|agrees"
    r"|confirms|completes))\b",
    re.I,
)
REASON = re.compile(
    r"[,;(\s]\s*(?:because|since|as (?:required|desired|expected|wanted|claimed|needed|we |it |"
    r"they |the |shown|above)|which|where|given that|due to|"
    r"so that|by the)\b.*$"
    r"|\s*\((?:about|approximately|approx\.?|roughly|i\.e\.,?|that is,?|\$?\\approx|≈|~)[^()]*\)[\s.]*$"
    r"|[,，(（]\s*(?:因为|由于|所以).*$",
    re.S | re.I,
)
SHORT = 8  # characters that hold no reason
SENTENCE = re.compile(r"(?<=[。！？])|(?<=[.!?])(?<!\\!)[*_\"')\]$`]*\s+(?=\S)")
NO_END = re.compile(r"(?:^|[\s(])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|vs|approx|i\.e|e\.g|U\.S|No|Eq|Fig|cf|ca|\d+)\.$")
DISPLAYS = (("$$", "$$"), ("\\[", "\\]"))
ENVIRONMENT = re.compile(
    r"\\begin\{(align|aligned|gather|gathered|equation|split|eqnarray|multline|displaymath|math)(\*?)\}"
)
ENDS = re.compile(r"(?:\$\$|\\\]|\\end\{[a-z]+\*?\}(?:\s*(?:\$\$|\\\]))?)[\s.,;*]*$")


@dataclass(frozen=True, slots=True)
class StatedAnswer:
    """The answer of a response. `text` is as written, or "" with a `reason`; `stated`: a mark or a phrase
    calls it the answer.
    """

    text: str
    reason: str = ""
    stated: bool = False


def without_strikethrough(text: str) -> str:
    """Removes text that Markdown strikes out: `~~5~~ 6` states 6."""
    return STRUCK.sub(" ", text) if "~~" in text else text


def last_line(text: str) -> str:
    """Returns the last line that is not blank, stripped; "" where there is none."""
    stripped = text.rstrip()
    return stripped[max(stripped.rfind("\n"), stripped.rfind("\r")) + 1 :].strip()


def without_lead_in(line: str) -> str:
    """Removes the introduction of an answer: `Therefore, the answer is 5.` -> `5.`"""
    return _after_lead_in(line)[0]


def stated_answer(line: str) -> StatedAnswer | None:
    """Returns the answer of the last sentence of `line` that introduces one: "" with the reason where it does
    not commit itself; None where no sentence introduces an answer.
    """
    parts = split_sentences(line)
    for place in range(len(parts) - 1, -1, -1):
        lead, said = _split_lead_in(parts[place])
        if not lead:
            continue
        answer = REASON.sub("", said).rstrip(" ,;(").strip() if len(said) > SHORT else said
        rest = said[len(answer) :] + " ".join(parts[place + 1 :])
        if ASKS.search(parts[place]) or (reason := reason_undecided(lead)):
            return StatedAnswer(
                "", "the answer is asked, not stated" if ASKS.search(parts[place]) else reason
            )
        if retracts(rest):
            return StatedAnswer("", "the answer is taken back")
        if offers_alternative(rest):
            return StatedAnswer("", "several answers are named")
        answer = answer.strip("*` ")
        return StatedAnswer(answer if answer.endswith("..") else answer.removesuffix("."), stated=True)
    return None


def closing_statement(text: str) -> StatedAnswer:
    """Returns the answer at the end of a response without marks; where no phrase introduces one, the last
    line, not `stated`.
    """
    blocks = blocks_from_end(text[-TAIL:])
    said: list[str] = []  # below the block at hand
    first: str | None = None
    for block in blocks:
        bare = _without_proof_end(block).strip()
        if NO_TEXT.match(bare) or COURTESY.match(bare):
            continue
        if first is None and ASIDE.match(bare):
            said.append(bare)
            continue
        stated = stated_answer(bare)
        if stated is not None and stated.text:
            if retracts("\n".join(reversed(said))):
                return StatedAnswer("", "the answer is taken back")
            return stated
        if stated is not None:
            return stated
        if first is None:
            first = bare
        if not EXPLAINS.match(bare.lstrip("#*_ ")):
            break
        said.append(bare)
    if first is None:
        return StatedAnswer("", "the response is empty" if not text.strip() else "no final answer")
    return (
        StatedAnswer("", "the answer is taken back")
        if retracts("\n".join(said))
        else StatedAnswer(_after_lead_in(first)[0])
    )


def blocks_from_end(text: str) -> Iterator[str]:
    """Yields the lines that are not blank from the last to the first; displayed mathematics over several
    lines is one, without its delimiters.
    """
    lines = text.splitlines()
    end = len(lines)
    while end:
        end -= 1
        line = lines[end].strip()
        if not line:
            continue
        if ENDS.search(line):
            start = _display_start(lines, end)
            block = "\n".join(lines[start : end + 1]).strip()
            before = next((place for place in range(start - 1, -1, -1) if lines[place].strip()), None)
            if before is not None and is_lead_in(lines[before]) and not stated_answer(block):
                yield (
                    f"{lines[before].strip().rstrip('*: ')}: {display_as_line(block)}"
                    if ":" not in lines[before]
                    else f"{lines[before].strip()} {display_as_line(block)}"
                )
                end = before
                continue
            yield (
                display_as_line(block) if start < end or block.startswith(("$$", "\\[", "\\begin")) else line
            )
            end = start
            continue
        before = next((place for place in range(end - 1, -1, -1) if lines[place].strip()), None)
        if before is not None and is_lead_in(lines[before]):
            yield (
                f"{lines[before].strip()} {BULLET.sub('', line)}"
                if lines[before].rstrip("*_ ").endswith((":", "：", "is", "are"))
                else line
            )
            continue
        yield line


def display_as_line(text: str) -> str:
    """Returns displayed mathematics as one line without delimiters; of aligned rows the last."""
    text = text.strip().rstrip(".,;* ")
    for opening, closing in DISPLAYS:
        if text.startswith(opening) and text.endswith(closing) and len(text) >= len(opening) + len(closing):
            text = text[len(opening) : -len(closing)].strip()
    match = ENVIRONMENT.match(text)
    if match:
        inner = text[match.end() :].removesuffix(f"\\end{{{match[1]}{match[2]}}}").strip()
        rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", inner) if row.strip(" &\n")]
        text = rows[-1].replace("&", "").strip() if rows and "\\begin" not in inner else inner
    return " ".join(text.split()).rstrip(".,; ")


def first_line_with_display(text: str) -> str:
    """Returns the first line of `text`, with the lines that close its environment or display."""
    line = text.split("\n", 1)[0]
    for opening, closing in (("\\begin{", "\\end{"), *DISPLAYS):
        count = line.count(opening)
        if count and (count % 2 if opening == closing else count > line.count(closing)):
            end = text.find(closing, len(line))
            if end >= 0:
                stop = text.find("\n", end)
                return text[: stop if stop >= 0 else len(text)]
    return line


def split_sentences(line: str) -> list[str]:
    """Splits a line into sentences; not after an initial, an abbreviation or an ordinal number."""
    parts: list[str] = []
    start = 0
    for match in SENTENCE.finditer(line):
        piece = line[max(start, match.start() - 60) : match.start()]
        if piece and not (
            NO_END.search(piece) and not re.search(r"\b(?:is|are|was|=|:)[\s$*]*\S{1,12}\.$", piece)
        ):
            parts.append(line[start : match.end()].strip())
            start = match.end()
    return [part for part in (*parts, line[start:].strip()) if part]


def _split_lead_in(sentence: str) -> tuple[str, str]:
    """Returns (introduction, answer); ("", sentence) where nothing introduces an answer or
    nothing follows.
    """
    text = _without_courtesy(_without_bold(sentence).strip().strip("*").strip())
    if (called := CALLED.match(text)) is not None:
        return text[called.end(1) :] or " ", called[1].strip()
    said, named = _after_lead_in(text)
    if named:
        return text[: len(text) - len(said)] or " ", said
    if called := CALLED.fullmatch(text):
        return text[called.end(1) :], CONNECTIVE.sub("", called[1])
    matches = list(WITHIN.finditer(text))
    if matches and text[matches[-1].end() :].strip(" *:"):
        return text[: matches[-1].end()], text[matches[-1].end() :].strip("* :")
    return "", text


def _after_lead_in(line: str) -> tuple[str, bool]:
    """Returns (the line without introductions, whether one of them names an answer)."""
    line = _without_proof_end(
        _without_courtesy(_without_bold(line).lstrip("# ").strip().strip("*").strip())
    ).strip()
    named = False
    # `Final Answer: The final answer is 5.` has two
    for pattern in (LEAD_IN, LEAD_IN, CHINESE_LEAD_IN, FOREIGN_LEAD_IN, CONNECTIVE):
        match = pattern.match(line)
        if match and line[match.end() :].strip("* "):
            named = named or pattern is not CONNECTIVE
            line = line[match.end() :].strip()
    return line.strip("*").strip(), named


def _without_bold(line: str) -> str:
    """Removes Markdown's bold marks; a power (`2**3`) stays."""
    return BOLD.sub(r"\1", line) if "**" in line else line


def _without_proof_end(line: str) -> str:
    """Removes the mark of a finished proof. The pattern runs only where such a mark can be: most lines have
    none.
    """
    return DONE.sub("", line) if any(mark in line[-24:] for mark in ("\\", "∎", "■", "□", "Q")) else line


def _without_courtesy(line: str) -> str:
    return HOPE.sub("", line) if "correct" in line[-24:].casefold() else line


def _display_start(lines: list[str], end: int) -> int:
    """Returns the index of the line that opens the display closed in line `end`."""
    last = lines[end].rstrip(" .,;*")
    if last.endswith("$$"):
        opens = "$$"
        if last.count("$$") >= 2:
            return end
    elif last.endswith("\\]"):
        opens = "\\["
    else:
        opens = "\\begin{"
    depth = lines[end].count("\\end{") if opens == "\\begin{" else 0
    for start in range(end, max(-1, end - LINES), -1):
        if opens == "\\begin{":
            depth -= (
                lines[start].count(opens)
                if start == end
                else lines[start].count(opens) - lines[start].count("\\end{")
            )
            if depth <= 0:
                return start
        elif opens in lines[start] and not (start == end and opens == "$$"):
            return start
    return end


def is_lead_in(line: str) -> bool:
    """Returns whether a line announces an answer that should follow: `The answer is`, `**Answer**:`, `###
    Final answer`.
    """
    bare = line.strip().strip("#*_: ：").strip()
    return len(bare) < 100 and INTRODUCES.fullmatch(bare) is not None


INTRODUCES = re.compile(
    r"(?:.*\b(?:so|thus|hence|therefore)\b[,:]?\s*)?(?:(?:the|our|my)\s+)?(?:final |correct |full )?(?:answer"
    r"|"
    r"result|solution(?: set)?)"
    r"(?:\s+(?:to|of|for)\s+[^:=]{1,60}?)?\s*(?:is|are|=)?\s*(?:therefore|thus|then|simply)?|(?:最终)?答案(?:是"
    r"|为)?",
    re.I,
)
