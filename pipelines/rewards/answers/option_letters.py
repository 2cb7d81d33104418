"""Which option letter a response chooses: statements are collected, doubtful ones dropped, and the last one
counts.

A letter counts where the text calls it the answer: a box, an answer tag, `Answer:`, `the best answer is`, `I
would pick`, `故选`, `B is correct`, or a line with nothing but an option. A letter that merely begins a
sentence (`A good answer ...`, `I do not know`, `B cells`) does not count, nor one that is negated, doubted,
asked about, or named beside others. In doubt there is no letter, since a policy exploits any other reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LETTERS = "A-J"
OPEN, CLOSE = "\x02", "\x03"  # around what stood in a box or an answer tag

_TURN_ENDS = re.compile(
    r"(?:\s*(?:<\|[^<>|\s]{1,40}\|>|</s>|<eos>|<end_of_turn>|<[｜|][^<>]{1,40}[｜|]>))+\s*$"
)
_TAGS = re.compile(r"<(answer|final_answer|choice|option)>(.{0,400}?)</\1>", re.I | re.S)
_FIELDS = re.compile(
    r"[\"'](?:final_?|correct_?|best_?|selected_?)?(?:answer|choice"
    r"|option)(?:_?letter)?[\"']\s*:\s*[\"']([^\"'\n]{0,200})[\"']",
    re.I,
)
_BRACKET_TAGS = re.compile(r"\[(answer)\](.{0,400}?)\[/\1\]", re.I | re.S)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_WRAPPED = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathsf|mathit|mbox|bf|rm)\s*\{([^{}]*)\}"
)
_MARKUP = re.compile(
    r"</?(?:b|i|u|em|strong|code|span|p)>|[✅✔✓☑\ufe0f]|"
    r"\*+|(?<![A-Za-z0-9])_{1,3}|_{1,3}(?![A-Za-z0-9])|`+|\\[()\[\]]|(?<!\\)\$|^[ \t]*#{1,6}[ \t]+|^[ "
    r"\t]*>+[ \t]?",
    re.M,
)
_BRACKETS = str.maketrans("（）［］〔〕【】：，；。．？！“”‘’＝", "()[]()[]:,;..?!\"\"''=")
_BRACKETS.update(str.maketrans("ＡＢＣＤＥＦＧＨＩＪ", "ABCDEFGHIJ"))  # full-width letters

# -- a letter, and what may follow it ------------------------------------------------------------------------
_BRACKETED = rf"[\[({{]\s*(?P<in>[{LETTERS}{LETTERS.lower()}])\s*[\])}}]"
_BARE = rf"(?P<bare>[{LETTERS}])(?![A-Za-z0-9_^+\-=|&/°]|['’][A-Za-z])(?:[\])}}])?"
_NAMED = (
    rf"(?:(?:option|choice|letter|answer|alternative|item|选项?)s?\s*:?\s*)?[\"'{OPEN}]?\s*(?:{_BRACKETED}"
    rf"|{_BARE})[\"'{CLOSE}]?"
)
_GOES_ON = (
    "because|since|as|for|over|which|that|while|whereas|due|not|rather|instead|by|when|from|given|so|where|if|is|are|seems|would|must|"
    "follows|holds|works|fits|applies|matches|states|says|with|in|on|at|based|and not|but not|and "
    "therefore|and so"
)
_AFTER_BARE = re.compile(
    rf"\s*(?:$|[\n.,;:!?\])}}\"'<{CLOSE}]|[—–]|-+\s|\(|[\d\\]|\.|[㐀-鿿]|(?:です|である|だ|입니다|이다)[.!。]?\s*(?:$|\n)|(?:{_GOES_ON})\b)",
    re.I,
)  # a word of its own text (`B cells`) is none of these
_JOINED = re.compile(
    rf"[.:)\]]?\s*(?:,?\s*(?:and|or|&|/)|[,、/&]|或者?|和|及|与|还是)\s*(?!i\.e|e\.g)(?:option\s*"
    rf"|选项?)?[\[({{]?(?:[{LETTERS}])(?![A-Za-z'’=])"
    r"(?!(?-i:(?<=[aIi]))\s+(?!(?:and|or)\b)(?-i:[a-z]))",  # `B, a mammal`, `B, I think`
    re.I,
)
_MARKED = re.compile(rf"(?<![A-Za-z0-9])[\[(]\s*([{LETTERS}])\s*[\])]")
_CLOSED = re.compile(rf"(?<![A-Za-z0-9(\[])[{LETTERS}]\)\s*\S")  # `A) 1, B) 2`
_WHOLE = re.compile(r"\s*[-—–:.,]?\s*(?:both|neither|all|none|only|either|statements?|it is|if|when)\b", re.I)

# -- what says that a letter is the answer -------------------------------------------------------------------
_ADVERBS = (
    r"(?:\s*(?:therefore|thus|hence|then|clearly|obviously|definitely|certainly|indeed|simply|actually|now"
    r"|probably|likely|most likely|"
    r"surely|of course|in fact|finally|still|just|going to be|best given by|given by)\b,?)*"
)
_LEADS = re.compile(
    rf"(?:\b(?:answers?|ans|options?|choices?|solution|response|letter|conclusion|verdict|selection|pick)\b"
    rf"(?:\s*\([^()\n]{{0,30}}\))?(?:\s+(?:to|for|of|here|in|among|from)\b[^.:?!\n]{{0,60}}?|\s+(?:that"
    rf"|which)\s+"
    rf"(?:fits|works|matches|remains|is (?:left|correct|right|true)))?"
    rf"\s*(?:is|are|was|be|would be|should be|must be|will be|has to be|seems to be|appears to be|turns out "
    rf"to be|'s|:|=|→|-+>|[—–]|-\s)"
    rf"\s*:?{_ADVERBS}\s*:?\s*(?:\n\s*)?"
    rf"|\b(?:it|this|that)(?:\s+(?:is|must be|has to be|should be|will be|would be)|['’]s){_ADVERBS}\s+"
    rf"|\b(?:I|we)(?:['’](?:d|ll)|\s+(?:would|will|shall|must|should|can|do|have to|am going to|therefore"
    rf"|thus|now|finally))*"
    rf"(?:\s+\w+ly)?\s+(?:pick|choose|select|chose|picked|selected|go with|going with|went with|"
    rf"opt for|vote for|settle on|settle for|conclude|answer)\s+(?:that it is |with |on )?"
    rf"|(?:^|[.!?\n]\s*|\b(?:and|,)\s+)(?:so|thus|hence|therefore|consequently|in conclusion|finally"
    rf"|accordingly|ergo)\b\s*[,:]?\s*"
    rf"(?:it is |it must be )?"
    rf"|(?:答案|正确答案|参考答案|正确选项|正确的是|最佳答案|最佳选项|结论)\s*\]?\s*(?:应该?)?(?:是|为|选|选择)?\s*[:,]?\s*"
    rf"|(?<![不勿别未])(?:故|应|本题|可|因此|所以|则)?选(?:择|项)?\s*[:,]?\s*(?=[\[({{\"']?[{LETTERS}](?![A-Za-z]))"
    rf"|\bans\.\s*|^\W*(?:correct|final)\s*:\s*|^\s*(?:must be|clearly|definitely|obviously|certainly|"
    rf"going with)\s*,?\s+"
    rf"|\bI(?:\s+am|['’]m) going with\s+|\bI vote\s+"
    rf"|(?<=elimination,)\s+|\bleav(?:es|ing)(?: us)?(?: only| just)?(?: with)?(?: only| just)?\s+"
    rf"|\b(?:respuesta|réponse|antwort|resposta|risposta|ответ|opción|opção|opzione|lösung"
    rf"|richtig)(?:\s+(?:final|finale|correct[ae]|corrett[ao]))?"
    rf"(?:\s*:|\s+(?:es|est|ist|é|è)\b)\s*(?:(?:la|die)\s+)?(?:(?:opción|opção|opzione|option|réponse"
    rf"|antwort)\s+)?"
    rf"|(?:答え|解答|정답|답)\s*(?:[はは은]|:)\s*"
    rf"|(?:所以|因此|故|综上)[,:]?\s*(?:是|为)?\s*)",
    re.I | re.M,
)
_GOOD = (
    r"(?:\s+is|\s+must be|\s+should be|\s+seems(?: to be)?|\s+appears to be|['’]s)"
    r"(?:\s+(?:therefore|thus|hence|clearly|definitely|indeed|obviously|probably|likely|also|the only one "
    r"that is|the|our|my))*\s+"
    r"(?:correct|right|true|best|answer|final answer|valid|"
    r"(?:(?:only|most)\s+)*(?:correct|right|best|appropriate|suitable|likely|accurate|valid|plausible)"
    r"\s*(?:answer|option|choice|one)?|option|choice)\b"
)
_ONLY = r"(?:(?<=\bonly .)|(?<=\bonly option .))\s+(?:fits|works|matches|satisfies|holds|applies|remains)\b"
_IS_GOOD = re.compile(
    rf"(?<![A-Za-z0-9'’])(?:(?:option|choice|answer|选项?)\s*)?(?:{_BRACKETED}"
    rf"|(?P<bare>[{LETTERS}])(?![A-Za-z0-9'’]))"
    rf"(?:{_GOOD}|{_ONLY}|\s+(?:ist|es|est|è|é)\s+(?:richtig|korrekt|correct[aeo]?|corrett[ao]|corret[ao]"
    rf"|certa|juste)(?![A-Za-z])|\s*(?:项|选项)?\s*(?:是|为)?\s*(?:正确|对的|符合题意))",
    re.I,
)
_NOT_BUT = re.compile(
    rf"(?:\bnot|isn['’]t)\s+(?:right|correct|true|the answer"
    rf"|[\[(]?[{LETTERS}][\])]?)\s*[,;]?\s*(?:but\s+(?:rather\s+)?)?(?:option\s+)?"
    rf"(?:{_BRACKETED}|(?P<bare>[{LETTERS}])(?![A-Za-z0-9'’]))(?:\s+is)?\s*(?=[.!]?\s*$)",
    re.I | re.M,
)

_DENIED = re.compile(
    r"\W*(?:(?:is|are|was|were|seems|looks|would be|must be|cannot|can['’]t|isn['’]t)\s+(?:clearly |also "
    r"|definitely )?"
    r"(?:wrong|incorrect|false|not|no|out|invalid|impossible|eliminated|be\b)|(?:wrong|incorrect|rejected"
    r"|eliminated|no)\W*$"
    r"|(?:选项|项)?的?(?:说法|表述|描述|叙述)?(?:是|为)?(?:错误|错的|不对|不正确|不符合|有误|不成立|排除))"
)  # in small letters: `B. False` and `B. No` are options
_CONDITION = re.compile(
    r"(?:\s+(?:answer|option|choice|one)\b)?\s*(?:but )?"
    r"(?:only (?:if|when|in|for)|if(?! and only if)|unless|provided|assuming|as long as|in case)\b"
    r"|\s*,?\s*(?:(?:nur|solo|só|seulement|only)\s+)?"
    r"(?:wenn|falls|sofern|si(?! bien)|s['’]ils?|se|cuando|quando|quand|lorsque)\b"
    r"|[^.\n]{0,120}\botherwise\b"
)
_SUPPOSED = re.compile(  # the condition that a sentence begins with: `If it rains, B is correct`
    r"\W*(?:(?:but|and|then|now|y|et|und|e|pero|mais|aber)\s+)?(?:(?:if(?! and only)|unless|assuming|provided"
    r"|providing|"
    r"in case|as long as|only if|suppose|supposing|had|were|si(?! bien)|s['’]ils?|cuando|quand|lorsque|wenn"
    r"|falls|sofern|"
    r"se|quando|caso|a menos que|à moins|sauf si|whenever|when(?!\s+(?:we|you|I|\w+(?:ing|ed))\b))\b|"
    r"如果|若|假如|假设|要是|只要|除非|もし|만약|만일)",
    re.I,
)
_REASONED = re.compile(  # a clause that concludes stands on what is argued before it, condition or not
    r"[,;:—–-]\s*(?:and\s+|y\s+|et\s+|und\s+|e\s+)?(?:so|thus|hence|therefore|consequently|which means"
    r"|meaning|as[ií] que|"
    r"por (?:lo )?tanto|por consiguiente|donc|also|daher|deshalb|folglich|quindi|dunque|perciò|portanto"
    r"|logo)\b|"
    r"所以|因此|故|可知|从而|따라서|므로",
    re.I,
)
_EXAMPLE = re.compile(
    r"\b(?:for example|for instance|e\.g|such as|suppose|imagine|in (?:the )?(?:triangle|figure|set|circle"
    r"|format))\b|例如|比如|假设",
    re.I,
)

# -- what takes a statement back -----------------------------------------------------------------------------
_DOUBT = re.compile(
    r"\b(?:not|never|if|whether|unless|suppose|supposing|assum\w+|imagine|might|may|could|cannot|can['’]t"
    r"|perhaps|maybe|avoid|eliminat\w+|"
    r"rule[sd]? out|instead of|rather than|why|neither|wrong|incorrect|unlikely|doubt|pretend|unsure|unclear"
    r"|say|said|says|claim\w*|"
    r"thinks|believes|believed|except|excluding|besides|apart from|everything but|anything but|all but|si"
    r"|nicht|wenn|ne|no|"
    r"example|format|like|either|other|another|previous|first guess|initial|"
    r"quiz[aá]s?|tal vez|peut-[eê]tre|vielleicht|forse|talvez|wonder|creo|pense|glaube|credo|acho)\b"
    r"|もし|만약|만일"
    r"|"
    r"n['’]t\b|不|是否|如果|假设|若|为什么|可能|例如",
    re.I,
)
_BACK = re.compile(
    r"\b(?:wait|scratch that|on second thought|let me (?:re|double)|let['’]s re|i (?:was|am|made) (?:wrong"
    r"|mistaken|a mistake)|"
    r"(?:that|this|it)(?:['’]s| is| was| seems) (?:wrong|incorrect|not (?:right|correct|true))|correction|no,"
    r"|i take (?:that|it) back|"
    r"i(?:['’]m| am) (?:not sure|unsure)|or maybe|or perhaps)|等等|不对",
    re.I,
)
_TURN = re.compile(
    r"\b(?:wait|no|actually|however|but|instead|correction|scratch|mistake|re-?\w+|so|thus|hence|therefore"
    r"|final|finally|correct|"
    r"second thought|conclu\w+|in the end|better|best)\b|等等|不对|因此|所以|故|综上|最终",
    re.I,
)
_INITIALS = re.compile(
    r"\.\s*(?:[A-Z]\.|(?:coli|elegans|aureus|pylori|subtilis|melanogaster|thaliana|cereus|difficile"
    r"|influenzae|anthracis|perfringens|"
    r"diff|albicans|botulinum|tetani|fumigatus|faecalis|histolytica|gondii|burgdorferi|cerevisiae|jejuni)\b)"
)
_LINE = re.compile(
    rf"^\W*?(?:(?:option|choice|选项?)\s*)?(?:{_BRACKETED}"
    rf"|(?P<bare>[{LETTERS}])(?![A-Za-z0-9'’_+\-=|&/°]))(?P<rest>.*)$",
    re.I,
)
_LISTED = re.compile(r"\s*(?:[.):：、]|[—–]|-+\s)\s*\S")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of an option: its letter ("" where it names several), and the characters `start` to `end`
    of the text.
    """

    letter: str
    start: int
    end: int


def chosen_letter(text: str) -> str:
    """Returns the option letter (A to J) that `text` chooses; "" for none, or for several without
    a decision.
    """
    text = _without_markup(text)
    statements = sorted(
        [*_marked_statements(text), *_introduced(text), *_called_correct(text), *_lone_letter(text)],
        key=lambda statement: (statement.start, statement.end),
    )
    if not statements:
        return _first_or_last_line(text)
    last = statements[-1]
    if _BACK.search(text, last.end):
        return ""
    others = [statement for statement in statements if statement.letter != last.letter]
    if len({statement.letter for statement in statements}) > 3:
        return ""
    if others and not _TURN.search(text, max(statement.end for statement in others) - 1, last.end):
        return ""
    return last.letter


def _without_markup(text: str) -> str:
    """Removes markup and end-of-turn tokens; the contents of boxes, tags and JSON fields are put between OPEN
    and CLOSE, on lines of their own.
    """
    text = (
        _TURN_ENDS.sub("", text.replace(OPEN, "").replace(CLOSE, ""))
        .replace("\r\n", "\n")
        .translate(_BRACKETS)
    )
    text = _TAGS.sub(lambda match: f"\n{OPEN}{match[2].strip()}{CLOSE}\n", text)
    text = _BRACKET_TAGS.sub(lambda match: f"\n{OPEN}{match[2].strip()}{CLOSE}\n", text)
    text = _FIELDS.sub(lambda match: f"\n{OPEN}{match[1].strip()}{CLOSE}\n", text)
    for _ in range(2):
        text = _WRAPPED.sub(lambda match: match[1], text)
    return _MARKUP.sub("", _unboxed(text))


def _unboxed(text: str) -> str:
    """Puts the contents of boxes between OPEN and CLOSE; a box that is never closed stays."""
    pieces, place = [], 0
    while (box := _BOX.search(text, place)) is not None:
        depth, end = 1, box.end()
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if depth:
            break
        pieces += [text[place : box.start()], OPEN, text[box.end() : end - 1].strip(), CLOSE]
        place = end
    return "".join(pieces) + text[place:]


def _letter(match: re.Match[str]) -> str:
    return str(match["in"] or match["bare"]).upper()


def _marked_statements(text: str) -> list[Statement]:
    """Statements in boxes, tags and fields that begin with a letter; others state nothing."""
    statements = []
    for box in re.finditer(f"{OPEN}([^{OPEN}{CLOSE}]*){CLOSE}", text):
        inner = box[1].strip().rstrip(".")
        named = re.match(_NAMED, inner, re.I)
        if inner.lower() in "abcdefghij" and len(inner) == 1:
            statements.append(Statement(inner.upper(), box.start(), box.end()))
        elif named and (
            named["in"]
            or _LISTED.match(inner[named.end() - inner[: named.end()].endswith(")") :])
            or named.end() == len(inner)
        ):
            letter = "" if _names_several(inner, named.end()) else _letter(named)
            statements.append(Statement(letter, box.start(), box.end()))
    return statements


def _introduced(text: str) -> list[Statement]:
    """`The answer is B`, `Answer: (B) 12`, `I would pick B`, `Hence B`, `故选B`."""
    statements = []
    for lead in _LEADS.finditer(text):
        named = re.compile(_NAMED, re.I).match(text, lead.end())
        small = re.compile(r"\s*([a-j])\s*(?=[.!]?\s*(?:$|\n))").match(text, lead.end())
        if small and (named is None or named["in"] is None):
            named, letter, end = small, small[1].upper(), small.end()
        elif named and (
            named["in"]
            or (
                named["bare"].isupper()
                and (text[named.end() - 1] == ")" or _AFTER_BARE.match(text, named.end()))
            )
        ):
            letter, end = _letter(named), named.end()
            article = not named["in"] and letter in "AI" and re.match(r"\s+[a-z]", text[end : end + 3])
            if article and not re.match(r"\s+(?:because|since)\b", text[end : end + 12]):
                continue
        else:
            continue
        if (
            _is_initial(text, end)
            or _is_doubted(text, lead, end)
            or _DENIED.match(text, end)
            or _CONDITION.match(text, end)
        ):
            continue
        statements.append(Statement("" if _names_several(text, end) else letter, lead.start(), end))
    return statements


def _called_correct(text: str) -> list[Statement]:
    """`B is correct`, `option (B) is the best choice`, `C is not right, D is`."""
    statements = []
    for pattern in (_IS_GOOD, _NOT_BUT):
        for match in pattern.finditer(text):
            before = text[_clause_start(text, match.start()) : match.start()]
            if (
                not (match["in"] or match["bare"].isupper())
                or _is_question(text, match.end())
                or _is_example(text, match.start())
            ):
                continue
            if _CONDITION.match(text, match.end()) or _is_conditional(text, match.start(), match.start()):
                continue
            if pattern is _IS_GOOD and (_DOUBT.search(before) or _joined_before(text, match.start())):
                continue
            statements.append(Statement(_letter(match), match.start(), match.end()))
    return statements


def _lone_letter(text: str) -> list[Statement]:
    """Returns the last line as a statement, where it is only a letter."""
    lines = list(re.finditer(r"^.*\S.*$", text, re.M))
    alone = [
        match
        for line in lines
        if (match := _LINE.match(line.group())) and not re.search(r"\w|\?", match["rest"])
    ]
    if (
        len(lines) < 2
        or not alone
        or len({_letter(match) for match in alone}) > 1
        or alone[-1].string != lines[-1].group()
    ):
        return []
    match = alone[-1]
    return [Statement(_letter(match), lines[-1].start(), lines[-1].end())]


def _first_or_last_line(text: str) -> str:
    """Returns the option on the first or last line: alone, or before its text (`B. Paris`). "" where other
    lines are other options: a list.
    """
    lines = [line.strip() for line in text.replace(OPEN, "").replace(CLOSE, "").splitlines() if line.strip()]
    named = []
    for place, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None or not (match["in"] or match["bare"].isupper() or len(line.strip(" .()[]")) == 1):
            continue
        rest, letter = match["rest"], _letter(match)
        lone = not re.search(r"\w", rest)
        # `A: ...` answers a `Q:`
        spoken = letter in "AI" and re.match(r"\s*:", rest) and not lone and not match["in"]
        closed = line[: match.end() - len(rest)].rstrip().endswith((")", "]"))
        listed = (
            closed
            or match["in"]
            or _LISTED.match(rest)
            or (re.match(r"(?:\s+|\s*,\s*)(?:because|since)\b", rest) and letter not in "AI")
        )
        if (
            (lone or listed)
            and not spoken
            and not _DENIED.match(rest)
            and not _INITIALS.match(rest)
            and "?" not in rest
        ):
            named.append((place, "" if _names_several(line, len(line) - len(rest)) else letter))
        elif place in (0, len(lines) - 1) and spoken:
            inner = re.fullmatch(rf"\s*:\s*[\[(]?([{LETTERS}])[\])]?\s*\.?", rest)
            if inner:
                named.append((place, inner[1]))
    letters = {letter for _, letter in named}
    ends = [letter for place, letter in named if place in (0, len(lines) - 1)]
    return ends[-1] if len(letters) == 1 and ends and not _BACK.search(text) else ""


def _names_several(text: str, end: int) -> bool:
    """Returns whether other options are named next to the one that ends at `end`: `A or B`, `(A) 5 or (B) 6`,
    `(A) (B) (C)`.
    """
    if _JOINED.match(text, end):
        return True
    rest = re.split(
        r"[.;!?\n](?:\s|$)|\b(?:not|rather than|instead of|unlike|because|since)\b", text[end : end + 400]
    )[0]
    return (
        bool(_MARKED.search(rest) or (text[end - 1 : end] == ")" and _CLOSED.search(rest)))
        and _WHOLE.match(rest) is None
    )


def _is_initial(text: str, end: int) -> bool:
    return bool(_INITIALS.match(text, end)) and text[end - 1 : end].isalpha()


def _clause_start(text: str, place: int) -> int:
    """Returns where the clause around `place` begins."""
    return max(text.rfind(mark, 0, place) for mark in (".", "\n", "?", "!", ";", ",", "。", OPEN, CLOSE)) + 1


def _is_question(text: str, end: int) -> bool:
    """Returns whether the sentence after `end` is a question."""
    end_mark = re.compile(r"[.!\n?]").search(text, end)
    return end_mark is not None and end_mark.group() == "?"


def _is_example(text: str, place: int) -> bool:
    """Returns whether the sentence around `place` begins as an example, or speaks of a figure."""
    start = max(text.rfind(mark, 0, place) for mark in (". ", "\n", "?", "!", "。")) + 1
    return _EXAMPLE.search(text, start, place) is not None


def _is_conditional(text: str, start: int, end: int) -> bool:
    """Returns whether the sentence of the statement at `start` to `end` begins with a condition, and no
    clause between draws a conclusion.
    """
    begin = max(text.rfind(mark, 0, start) for mark in (". ", "\n", "?", "!", "。", ";", OPEN)) + 1
    return _SUPPOSED.match(text, begin, end) is not None and _REASONED.search(text, begin, end) is None


def _joined_before(text: str, start: int) -> bool:
    return bool(
        re.search(
            rf"(?<![A-Za-z])[{LETTERS}][\])]?\s*(?:,|and|or|&|/|、|和|或|y|e|et|und|ou|o|oder)\s*$",
            text[max(0, start - 12) : start],
        )
    )


def _is_doubted(text: str, lead: re.Match[str], end: int) -> bool:
    """Returns whether the statement is negated, hypothetical or a question. Doubt in another clause does not
    count.
    """
    before = text[_clause_start(text, lead.start()) : lead.end()]
    if _DOUBT.search(before) or _is_conditional(text, lead.start(), lead.end()):
        return True
    return _is_question(text, end) or _is_example(text, lead.start())
