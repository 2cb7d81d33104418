"""The structure of normalized answers: lists, sets, tuples, intervals, inequalities, names before an equals
sign, chains of equal values.
"""

from __future__ import annotations

import re

from pipelines.rewards.answers import units

NAME = re.compile(
    r"([A-Za-z](?:_\{?\w+\}?|'+)?|[A-Z]\^\s*\{?(?:-1|T)\}?|[a-z]\^\s*\{-1\}\s*\([a-z]\)|"
    r"\\(?!frac|sqrt|le\b|ge\b)[A-Za-z]+(?:_\{?\w+\}?)?(?: [A-Z]{1,3})?|"
    r"\\(?:vec|overrightarrow|hat|bar)\s*\{[A-Za-z]{1,2}\}|[A-Za-z]\(\s*[A-Za-z\d]\s*\)|\|[A-Za-z]{1,3}\|"
    r"|[A-Z]{2,3}|\\overline\{[A-Z]{2}\})"
    r"\s*(?:=|\\in\b|\\approx\b)\s*([^=<>]+)"
)
BARE_NAME = re.compile(r"[A-Za-z](?:_\{?\w+\}?|'+)?|[A-Za-z]\(\s*[A-Za-z]\s*\)|\\(?!infty|pi|emptyset)[a-z]+")
TUPLE_NAME = re.compile(
    r"\(\s*[A-Za-z]\w?(?:_\{?\w+\}?)?(?:\s*,\s*[A-Za-z](?:_\{?\w+\}?)?)+\s*\)\s*(?:=|\\in\b)\s*"
)
WORDS = re.compile(r".*(?<!\S)[A-Za-z]{2,}(?![A-Za-z])|.*[㐀-鿿]", re.S)  # up to the last word
# `4x + 2`, `x^2 - 1`
BINOMIAL = re.compile(r"-?\d*\s*[a-z](?:\s*\^\s*\{?\s*\d+\s*\}?)?\s*[-+]\s*\d+(?:\.\d+)?")
INDEX = re.compile(r"_\{?\w+\}?")
RELATION = re.compile(r"<=|>=|<|>|\\le(?![a-z])|\\ge(?![a-z])|\\lt(?![a-z])|\\gt(?![a-z])")
OTHER_RELATION = re.compile(
    r"\\(?:ne|not|nleq|ngeq|subset|subseteq|notin|mid|equiv|propto|perp|parallel|ll|gg)(?![A-Za-z])|!=|=/="
)
LINKS = re.compile(
    r"=|\\(?:approx|Rightarrow|Longrightarrow|rightarrow|longrightarrow|to|implies|iff|Leftrightarrow|"
    r"simeq)(?![A-Za-z])|=>|->"
)
BUILDER = re.compile(
    r"\\\{\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\s*\{?\s*R\s*\}?\s*)?(?:\\mid\b|\||:)\s*(.+?)\s*\\\}", re.S
)
TRANSPOSED = re.compile(r"(?<=\))\s*\^\s*\{?\s*(?:T|\\top)\s*\}?$")
CASES = re.compile(r"\\begin\{d?cases\}(.*)\\end\{d?cases\}", re.S)
CONDITION = re.compile(r"^(?:if|when|for|where)\b\s*")
INDEXED = re.compile(r"\\(?:sum|prod)\s*_\s*\{\s*([A-Za-z])\s*≔")
REALS = re.compile(r"(?:[a-z]\s*\\in\s*)?\\mathbb\s*\{?\s*R\s*\}?|\\R|all real numbers", re.I)
LABELLED = re.compile(r"\(\s*[A-J]\s*\)\s*(\S.*)|[A-Z]\s*(\(.*,.*\))", re.S)
ARRAY = re.compile(r"\(?\s*\\begin\{([bpB]?matrix|array)\}(?:\s*\{[lcr| ]*\})?(.*)\\end\{\1\}\s*\)?", re.S)
MATRIX = re.compile(r"\(?\s*\\begin\{[bpvB]?matrix\}(.*)\\end\{[bpvB]?matrix\}\s*\)?", re.S)
GREEK = re.compile(
    r"\\(?:alpha|beta|gamma|delta|Delta|epsilon|varepsilon|theta|lambda|mu|rho|sigma|tau|phi|varphi|omega"
    r"|angle|triangle)(?![A-Za-z])"
)
# but e, E, i and I
VARIABLE = re.compile(r"(?<![\\A-Za-z])[A-DF-HJ-Za-df-hj-z](?![A-Za-z])|(?<![\\A-Za-z])[a-z]{2}(?![A-Za-z])")
WITHOUT = re.compile(
    r"[A-Za-z]\s*\\ne\s*([^\s,<>=]+)|\\mathbb\s*\{?\s*R\s*\}?\s*(?:\\setminus|\\backslash"
    r"|-)\s*\\\{\s*([^,{}]+?)\s*\\\}"
)  # every number but one
SIZE = re.compile(
    r"(?:\||\\lvert|\\vert)\s*([A-Za-z])\s*(?:\||\\rvert|\\vert)\s*(<=?|\\l[et](?![a-z]))\s*(\d[\d./]*"
    r"|\\frac\{\d+\}\{\d+\}|\\sqrt\{\d+\})"
)
OPEN, CLOSE = "([{", ")]}"
CELLS = re.compile(r"\s+&\s+")
AND = re.compile(r"\s+(?:and|or)\s+|\s*(?:和|或|及)\s*|\s*\\text\s*\{\s*(?:and|or)\s*\}\s*")
LAST = re.compile(r"^(?:and|or)\s+")
OR = re.compile(r"\s+or\s+|\s*\\(?:lor|vee|cup)(?![A-Za-z])\s*|\s*或\s*")
BOTH = re.compile(r"\s+and\s+|\s*\\(?:land|wedge)(?![A-Za-z])\s*|\s*且\s*")


def split_name(text: str) -> tuple[str, str]:
    """Returns (name, value) of `x = 5`, `5 = x`, `f(x) = ...`, `x \\in [0, 1)`; ("", text) otherwise."""
    match = NAME.fullmatch(text)
    if match and not split_list(match[1])[1:]:
        return match[1], match[2]
    left, equals, right = text.partition("=")
    if (
        equals
        and "=" not in right
        and BARE_NAME.fullmatch(right.strip())
        and not BARE_NAME.fullmatch(left.strip())
        and len(split_list(left)) == 1
    ):
        return right.strip(), left.strip()
    return "", text


def is_constant(text: str) -> bool:
    """Returns whether the text has no variable; words and units are none."""
    text = without_bound_index(text)
    return (
        VARIABLE.search(re.sub(r"\\[A-Za-z]+", " ", text)) is None and not GREEK.search(text)
    ) or units.parse_quantity(text) is not None


def is_unsolved(head: str) -> bool:
    """Returns whether the text before the first `=` is an expression in one unknown (`4x + 2 = 3`): the text
    after it is not the unknown's value.
    """
    head = WORDS.sub("", head)
    if is_constant(head) or split_name(f"{head.strip()} = 1")[0]:
        return False
    return len(set(VARIABLE.findall(head))) == 1 and re.search(r"\d", INDEX.sub("", head)) is not None


def is_unsolved_equation(members: list[str]) -> bool:
    """Returns whether a chain is an equation yet to be solved: `4x + 2 = 3`, `y = 4x + 2 = 3`. `P = 4s = 12`
    is not: its last member is the value of P.
    """
    if len(members) < 2:
        return False
    return is_unsolved(members[0]) or (
        BARE_NAME.fullmatch(members[0]) is not None and any(map(BINOMIAL.fullmatch, members[1:-1]))
    )


def split_chain(text: str) -> list[str]:
    """Returns the members of `x = 2 + 3 = 5`; the text itself where it is no chain. Equals signs in brackets,
    as in `P(X=2) = 0.5`, do not count.
    """
    members, start = [], 0
    for link in LINKS.finditer(text):
        if all(
            text.count(opening, 0, link.start()) <= text.count(closing, 0, link.start())
            for opening, closing in zip(OPEN, CLOSE, strict=True)
        ):
            members.append(text[start : link.start()])
            start = link.end()
    return [member.strip() for member in (*members, text[start:]) if member.strip()]


def reals_as_interval(text: str) -> str:
    """Writes the real numbers as an interval; other text stays."""
    return "(-\\infty,\\infty)" if REALS.fullmatch(text) else text


def without_label(text: str, other: str) -> str:
    """Removes the letter of an option or point (`(B) 12`, `A(1,2)`) where `other` has none."""
    match = LABELLED.fullmatch(text)
    return match[1] or match[2] if match and not LABELLED.fullmatch(other) else text


def without_tuple_name(text: str) -> str:
    """Removes the names before tuples: `(x,y) = (1,2),(3,4)` -> `(1,2),(3,4)`."""
    match = TUPLE_NAME.match(text)
    return text[match.end() :] if match and text[match.end() :].startswith(("(", "\\{", "[")) else text


def vector_as_tuple(text: str) -> str:
    """Writes a matrix of one row or one column as a tuple; other text stays."""
    match = MATRIX.fullmatch(text)
    if match is None:
        return TRANSPOSED.sub("", text)
    rows = [row.strip() for row in re.split(r"\\\\", match[1]) if row.strip()]
    cells = [cell.strip() for row in rows for cell in row.split("&")]
    return f"({','.join(cells)})" if len(rows) == 1 or len(cells) == len(rows) else text


def without_bound_index(text: str) -> str:
    """Replaces the index of sums and products by 1, since it is no variable: `\\sum_{k=1}^{4} k`
    is a number.
    """
    for index in set(INDEXED.findall(text)) if "≔" in text else ():
        text = re.sub(rf"(?<![\\A-Za-z]){index}(?![A-Za-z])", "1", text)
    return text


def case_rows(text: str) -> list[list[str]] | None:
    """Returns the rows of `\\begin{cases} … \\end{cases}`, each [value, condition] in a definition by cases;
    None for other text.
    """
    match = CASES.fullmatch(text)
    if match is None or "\\begin" in match[1]:
        return None
    rows = [
        [CONDITION.sub("", cell.strip()).strip(" ,;.") for cell in row.split("&")]
        for row in re.split(r"\\\\", match[1])
        if row.strip(" ,;.")
    ]
    return [[cell for cell in row if cell] for row in rows]


def system_as_list(text: str) -> str:
    """Writes `\\begin{cases} x = 1 \\\\ y = 2 \\end{cases}` and `x = 1 \\\\ y = 2` as a list; other text
    stays.
    """
    match = CASES.fullmatch(text)
    if match is None and "\\begin" in text:
        return text
    rows = [
        row.replace("&", "").strip(" ,;.")
        for row in re.split(r"\\\\", match[1] if match else text)
        if row.strip(" ,;.")
    ]
    return " , ".join(rows) if len(rows) > 1 and all(NAME.fullmatch(row) for row in rows) else text


def matrix_rows(text: str) -> list[list[str]] | None:
    """Returns the rows of a matrix, whatever its brackets: `\\begin{pmatrix}`, an array, `[[1, 2], [3, 4]]`.
    None for other text, or rows of different length.
    """
    match = ARRAY.fullmatch(
        text.strip().removeprefix("[").removesuffix("]").strip() if "{array}" in text else text
    )
    if match is not None:
        if "\\begin" in match[2]:
            return None
        rows = [
            [cell.strip() for cell in row.split("&")]
            for row in re.split(r"\\\\", match[2])
            if row.strip(" ,")
        ]
    elif re.fullmatch(r"\[\s*\[.*\]\s*\]", text, re.S):
        rows = [
            split_top_level(row[1:-1], ",")
            for row in split_top_level(text.strip()[1:-1], ",")
            if row[:1] == "[" and row[-1:] == "]"
        ]
    else:
        return None
    return rows if rows and len({len(row) for row in rows}) == 1 else None


def inequalities_as_interval(text: str) -> str:
    """Returns inequalities in one variable, and sets that they define, as intervals (`x < -2 or x > 3`, `\\{x
    \\mid x > 3\\}`); "" for other text.
    """
    builder = BUILDER.fullmatch(text)
    inner = builder[2] if builder else text
    if without := WITHOUT.fullmatch(inner.strip()):
        point = without[1] or without[2]
        return f"(-\\infty,{point})\\cup ({point},\\infty)"
    if size := SIZE.fullmatch(inner.strip()):
        inner = f"-{size[3]} {size[2]} {size[1]} {size[2]} {size[3]}"
    if not RELATION.search(inner):
        return ""
    pieces = OR.split(inner)
    if len(pieces) > 1:
        intervals = [inequalities_as_interval(piece) for piece in pieces]
        return "\\cup ".join(intervals) if all(intervals) else ""
    both = BOTH.split(inner)
    if len(both) == 2:
        ends = [inequality_as_interval(piece) for piece in both]
        low, high = (
            next((end for end in ends if test(end)), "")
            for test in (lambda e: e.endswith("\\infty)"), lambda e: e.startswith("(-\\infty,"))
        )
        return (
            low.removesuffix("\\infty)") + high.removeprefix("(-\\infty,")
            if low and high and low != high
            else ""
        )
    return inequality_as_interval(inner)


def inequality_as_interval(text: str) -> str:
    """Returns an inequality in one variable as an interval: `0 \\le x < 1` -> `[0,1)`, `x > 3` ->
    `(3,\\infty)`; "" for other text.
    """
    signs = [
        sign.strip().replace("\\le", "<=").replace("\\ge", ">=").replace("\\lt", "<").replace("\\gt", ">")
        for sign in RELATION.findall(text)
    ]
    sides = [side.strip() for side in RELATION.split(text)]
    if any(re.search(r"[,;]|\\cup|=", side) for side in sides) or not all(sides):
        return ""
    variable = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?|\\[a-z]+").fullmatch
    constants = ("\\infty", "\\pi", "e")
    if len(signs) == 2 and signs[0][0] == signs[1][0] and variable(sides[1]) and sides[1] not in constants:
        low, high, first, last = (0, 2, 0, 1) if signs[0][0] == "<" else (2, 0, 1, 0)
        opening, closing = "[" if "=" in signs[first] else "(", "]" if "=" in signs[last] else ")"
        return f"{opening}{sides[low]},{sides[high]}{closing}"
    if len(signs) == 1:
        left = bool(variable(sides[0])) and sides[0] not in constants
        if left == (bool(variable(sides[1])) and sides[1] not in constants):
            return ""
        bound, below = (sides[1], signs[0][0] == "<") if left else (sides[0], signs[0][0] == ">")
        closed = "=" in signs[0]
        return (
            f"(-\\infty,{bound}{']' if closed else ')'}"
            if below
            else f"{'[' if closed else '('}{bound},\\infty)"
        )
    return ""


def expand_plus_minus(text: str) -> str:
    """Writes `1 \\pm \\sqrt{2}` as its two values; text with several `\\pm` or none stays."""
    return (
        f"{text.replace(chr(92) + 'pm', '+')} , {text.replace(chr(92) + 'pm', '-')}".replace("+ ", "+")
        if text.count("\\pm") == 1
        else text
    )


def split_brackets(text: str) -> tuple[str, list[str]]:
    """Returns (brackets, parts). Brackets are `()`, `[]`, `(]`, `[)`, `{` for a set, `;` for an ordered list,
    "" for a list without brackets or a single value.
    """
    unwrapped = text
    if text.startswith("\\{") and text.endswith("\\}"):
        return "{", split_list(text[2:-2])
    if text[:1] in "([{" and text[-1:] in ")]}" and text[:1] and _closes_at_end(text):
        kind = text[0] + text[-1]
        inner = split_list(text[1:-1])
        if kind == "{}":
            return "{", inner
        if len(inner) > 1:
            return kind, inner
        unwrapped = text[1:-1] if kind == "()" else text
    if len(ordered := split_top_level(unwrapped, ";")) > 1:
        return ";", ordered
    return "", split_list(unwrapped)


def split_list(text: str) -> list[str]:
    """Splits at top-level semicolons, commas and the words and/or; `1,234` is one number."""
    ordered = split_top_level(text, ";")
    if len(ordered) > 1:
        return ordered
    pieces = [
        part for piece in split_top_level(text, ",") for part in AND.split(LAST.sub("", piece))
    ]  # 1, 2, and 3
    if "\\begin" not in text:
        pieces = [part for piece in pieces for part in CELLS.split(piece)]
    return [part for part in pieces if part.strip()] or [text]


def split_top_level(text: str, separator: str) -> list[str]:
    parts, depth, start, place = [], 0, 0, 0
    while place < len(text):
        character = text[place]
        depth += (character in OPEN) - (character in CLOSE)
        if (
            depth == 0
            and text.startswith(separator, place)
            and not (separator == "," and _is_thousands_comma(text, place))
        ):
            parts.append(text[start:place])
            start = place + len(separator)
        place += 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _is_thousands_comma(text: str, place: int) -> bool:
    return (
        re.search(r"(?<!\d)\d{1,3}(?:,\d{3})*$", text[:place][-12:]) is not None
        and re.match(r",\d{3}(?!\d)", text[place:]) is not None
    )


def _closes_at_end(text: str) -> bool:
    depth = 0
    for place, character in enumerate(text):
        depth += (character in OPEN) - (character in CLOSE)
        if depth == 0:
            return place == len(text) - 1
    return False
