"""Extracts the program from a response: chooses its code blocks, and joins them with the starter code.

Fences are CommonMark's (backquotes or tildes of any length, indented, in lists), and those that models write:
never closed, closed on the last line of code, with code on the opening line, followed by an end-of-turn
token. Of several blocks those count that define what the tests need (the last ones where several do), with
the blocks that define names they use; output and usage examples do not. Without a fence the whole text is the
program, except for a reasoning section before it.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

OPEN = re.compile(
    r"^(?P<indent>[ \t]*)(?P<lead>(?:>[ ]?|[-*+][ ]|\d+[.)][ ])*|[^`~\n]*[:：][ \t]*)(?P<mark>`{3,}"
    r"|~{3,})(?P<info>[^\n]*)$"
)
LANGUAGE = re.compile(r"^[ \t]*(?:\{[ \t]*\.?([\w+.#-]+)[^}]*\}|([\w+.#-]*))", re.ASCII)
PYTHON = re.compile(r"(?:i?python|py)(?:[ -]?[23](?:\.\d+)?)?", re.IGNORECASE)
# <|im_end|>, </s>, <end_of_turn>, </answer>
END_MARK = r"(?:[ \t]*(?:<[|｜]?/?[\w｜▁|-]+[|｜]?>|\[/?[A-Z]+\]))*[ \t]*"
TRAILING = re.compile(END_MARK.replace("*[ \\t]*", "+[ \\t]*") + r"\s*\Z")
STATEMENT = re.compile(
    r"[ \t]*(?:import|from|def|async def|class|@|print\(|for |while |if |[A-Za-z_]\w*[ \t]*=[^=\"'])"
)
BEGINNING = re.compile(r"^(?:from|import|def|async def|class|@)\b|^@", re.MULTILINE)
THINKING = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL)
TAGGED = re.compile(
    r"\[(PYTHON|CODE|BEGIN)\](.*?)(?:\[/\1\]|\[DONE\]|\Z)|<(python|code)>(.*?)(?:</\3>|\Z)", re.DOTALL
)
NAMED = re.compile(r"\A\s*python3?[ \t]*\n", re.IGNORECASE)  # a fence whose mark was lost
READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\(0\)")
MOST_TRIES = 200  # lines of prose around a program without fences that are left out to find it


@dataclass(frozen=True)
class CodeBlock:
    """A fenced code block. `tagged`: its fence names Python."""

    source: str
    tagged: bool

    @cached_property
    def tree(self) -> ast.Module | None:
        return parse(self.source)

    @cached_property
    def defines(self) -> frozenset[str]:
        return (
            frozenset(defined_names(self.tree.body)) if self.tree else frozenset(_spelled_names(self.source))
        )

    @cached_property
    def uses(self) -> frozenset[str]:
        """Names that the block uses and does not define."""
        if self.tree is None:
            return frozenset()
        nodes = list(ast.walk(self.tree))
        bound = {
            node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        } | self.defines
        bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        bound |= {
            node.name
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler)
            and node.name
        }
        bound |= {
            name
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in _imported(node)
        }
        return frozenset(
            {node.id for node in nodes if isinstance(node, ast.Name)} - bound - set(dir(builtins))
        )

    @cached_property
    def runs(self) -> bool:
        """Whether executing the block has an effect: definitions alone, and output that happens to parse,
        have none.
        """
        quiet = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
        body = [node for node in self.tree.body if not isinstance(node, quiet)] if self.tree else []
        return any(isinstance(node, ast.Call) for statement in body for node in ast.walk(statement))


def extract_program(
    text: str, starter: str = "", fn_name: str | None = None, needs: Iterable[str] = (), reads: bool = False
) -> str:
    """Returns the program in `text`. `needs`: names besides `fn_name` that the tests use; `reads`: the tests
    supply standard input. Code that does not define `fn_name` is appended to `starter`; code that does gets
    the starter's imports and helpers before it.
    """
    text = THINKING.sub("", text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n"))
    answered = ANSWER.findall(text)
    if answered and answered[-1].strip():
        text = answered[-1]
    blocks = [block for block in fenced_blocks(text) if block.source.strip()]
    given = frozenset(_spelled_names(starter))
    if not blocks and (tagged := TAGGED.findall(text)):
        text = next(filter(None, tagged[-1][1::2]), "").strip("\n") + "\n"
    if not blocks:
        text = NAMED.sub("", text) if parse(text) is None or NAMED.match(text) else text
        program = _unfenced_program(
            text,
            fn_name if not starter or (fn_name and _defines(text, fn_name)) else None,
            bool(starter or fn_name),
        )
    elif fn_name:
        program = _blocks_of_function(blocks, fn_name, frozenset(needs) | {fn_name}, given, starter)
    else:
        program = _whole_program(blocks, reads)
    if not starter:
        return program
    if fn_name and _defines(program, fn_name):
        return _with_starter(program, starter, fn_name)
    return starter + program


def fenced_blocks(text: str) -> list[CodeBlock]:
    """Returns the code blocks that are tagged as Python or have no tag."""
    lines, blocks, place = text.split("\n"), [], 0
    while place < len(lines):
        fence = OPEN.match(lines[place])
        if not fence:
            place += 1
            continue
        mark, info = fence["mark"], fence["info"]
        once = re.fullmatch(rf"(.*?){re.escape(mark)}{END_MARK}", info)
        if once:
            language, rest = _block_language(once[1])
            body, place = [rest], place + 1
        elif mark[0] in info and mark[0] == "`":  # an inline mark, not a fence
            place += 1
            continue
        else:
            language, rest = _block_language(info)
            body, place = _block_body(lines, place + 1, mark, rest)
        if language.lower() in ("markdown", "md"):
            blocks += fenced_blocks("\n".join(body))
        elif language == "" or PYTHON.fullmatch(language):
            blocks.append(
                CodeBlock(
                    _dedented(
                        body, len(fence["indent"]) + len(fence["lead"]) if ">" not in fence["lead"] else 0
                    ),
                    language != "",
                )
            )
    return blocks


def parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def defined_names(body: Sequence[ast.stmt]) -> set[str]:
    """Returns the names that statements bind at their own level, including methods of a class Solution."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            if isinstance(node, ast.ClassDef) and node.name == "Solution":
                names |= defined_names(node.body)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= set(_imported(node))
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
            }
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
            names |= defined_names(
                [
                    *node.body,
                    *getattr(node, "orelse", []),
                    *(s for h in getattr(node, "handlers", []) for s in h.body),
                ]
            )
    return names


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [name.asname or name.name.partition(".")[0] for name in node.names]


def _spelled_names(source: str) -> list[str]:
    """Returns the names that a text which does not parse seems to define."""
    return re.findall(r"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)", source, re.MULTILINE) + re.findall(
        r"^(\w+)[ \t]*(?::[^=\n]+)?=[^=]", source, re.MULTILINE
    )


def _defines(source: str, name: str) -> bool:
    tree = parse(source)
    return name in (defined_names(tree.body) if tree else _spelled_names(source))


def _block_language(info: str) -> tuple[str, str]:
    """Returns (language tag, code on the opening line)."""
    match = LANGUAGE.match(info)
    assert match is not None
    tag, rest = match[1] or match[2] or "", info[match.end() :]
    if (
        tag
        and not PYTHON.fullmatch(tag)
        and STATEMENT.match(info)
        and parse(info.strip() if not info.rstrip().endswith(":") else info.strip() + " pass")
    ):
        return "", info.lstrip()
    code = rest.lstrip()
    if (
        code
        and (not tag or PYTHON.fullmatch(tag))
        and STATEMENT.match(code)
        and not re.match(r"[\w-]+=[\"']", code)
    ):
        return tag, code
    if code and not tag:
        return "", code
    return tag, ""


def _block_body(lines: Sequence[str], start: int, mark: str, first: str) -> tuple[list[str], int]:
    """Returns (lines of the block, index after it). It ends at the first closing fence before which it parses
    as Python, else at the first closing fence, else at the end.
    """
    closing = re.compile(rf"^[ \t>]*{re.escape(mark[0])}{{{len(mark)},}}{END_MARK}$")
    at_end = re.compile(rf"^(?P<code>.*[^\s{re.escape(mark[0])}]){re.escape(mark)}{END_MARK}$")
    head = [first] if first else []
    ends = []
    for place in range(start, len(lines)):
        if closing.match(lines[place]):
            ends.append((place, [*head, *lines[start:place]]))
        elif (match := at_end.match(lines[place])) and not ends:
            ends.append((place, [*head, *lines[start:place], match["code"]]))
        if (
            ends
            and (len(ends) == 1 or place == ends[-1][0])
            and (parse(textwrap.dedent("\n".join(ends[-1][1]))) or len(ends) > 8)
        ):
            return ends[-1][1], ends[-1][0] + 1
        if ends and (match := OPEN.match(lines[place])) and match["info"].strip() and place > ends[0][0]:
            break  # another block begins
    if ends:
        return ends[0][1], ends[0][0] + 1
    rest = TRAILING.sub("", "\n".join(lines[start:]))
    return [*head, *rest.split("\n")], len(lines)


def _dedented(body: Sequence[str], indent: int) -> str:
    """Removes the indentation of the fence, and the marks of a quotation."""
    if (
        body
        and all(line.startswith(">") or not line.strip() for line in body)
        and any(line.strip() for line in body)
    ):
        body = [re.sub(r"^>[ ]?", "", line) for line in body]
    least = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
    cut = min(least, indent)
    lines = [line[cut:] if line.strip() else "" for line in body]
    return "\n".join(lines) + ("\n" if lines and lines[-1] else "")


def _blocks_of_function(
    blocks: Sequence[CodeBlock], fn_name: str, needs: frozenset[str], given: frozenset[str], starter: str
) -> str:
    """Returns the last block that defines `fn_name`, with those that define what it and the tests use."""
    main = next((place for place in range(len(blocks) - 1, -1, -1) if fn_name in blocks[place].defines), None)
    if main is None:
        for block in reversed(blocks):
            if starter and parse(starter + block.source):
                return block.source
        return _whole_program(blocks, False)
    chosen, wanted, have = {main}, set(needs | blocks[main].uses), set(blocks[main].defines)
    for place in [*range(main - 1, -1, -1), *range(main + 1, len(blocks))] * 2:
        block = blocks[place]
        if place not in chosen and block.tree and (wanted - have) & block.defines:
            chosen.add(place)
            wanted |= block.uses
            have |= block.defines
    return "\n".join(blocks[place].source for place in sorted(chosen))


def _whole_program(blocks: Sequence[CodeBlock], reads: bool) -> str:
    """Returns the last block that is a complete program, preferably one that reads the input where there is
    some; else the last that runs, with the blocks before it that define names.
    """
    programs = [
        block
        for block in blocks
        if (block.tree and block.runs and not _uses_others(block, blocks)) or _is_broken_program(block)
    ]
    for wanted in ([block for block in programs if reads and READS.search(block.source)], programs):
        if wanted:
            return wanted[-1].source
    for place in range(len(blocks) - 1, -1, -1):
        if blocks[place].runs:
            earlier = [block for block in blocks[:place] if block.tree and block.defines]
            return "\n".join(block.source for block in [*earlier, blocks[place]])
    tagged = (
        [block for block in blocks if block.tagged]
        or [block for block in blocks if block.tree]
        or list(blocks)
    )
    return tagged[-1].source


def _uses_others(block: CodeBlock, blocks: Sequence[CodeBlock]) -> bool:
    """Returns whether the block uses names of another: a usage example, or the last part of a program."""
    return any(block.uses & other.defines for other in blocks if other is not block)


def _is_broken_program(block: CodeBlock) -> bool:
    """Returns whether the block is meant as a program although it does not parse."""
    return (
        block.tree is None
        and block.tagged
        and ">>>" not in block.source
        and re.search(r"^(?:def|class|import|from|for|while)\b", block.source, re.MULTILINE) is not None
    )


def _unfenced_program(text: str, fn_name: str | None, unfinished: bool = False) -> str:
    """Returns the text without end-of-turn tokens, and without prose around a program that
    defines `fn_name`.
    """
    text = TRAILING.sub("", text) if TRAILING.search(text) else text
    if parse(text) or (fn_name and not _defines(text, fn_name)):
        return text
    if not fn_name:
        return text if unfinished else _program_in_prose(text)
    lines = text.split("\n")
    start = next(
        (
            place
            for place, line in enumerate(lines)
            if BEGINNING.match(line) and _definition_follows(lines, place, fn_name)
        ),
        None,
    )
    if start is None:
        return text
    for end in range(len(lines), max(start, len(lines) - MOST_TRIES), -1):
        tree = parse("\n".join(lines[start:end]))
        if tree and fn_name in defined_names(tree.body):
            return "\n".join(lines[start:end]) + "\n"
    return text


def _program_in_prose(text: str) -> str:
    """Returns the longest run of lines, from one that looks like a statement, that parses and has an effect;
    else the text.
    """
    lines = text.split("\n")
    starts = [
        place
        for place, line in enumerate(lines)
        if STATEMENT.match(line) and not line.startswith((" ", "\t"))
    ][:20]
    for start in starts:
        for end in range(len(lines), max(start, len(lines) - 40), -1):
            block = CodeBlock("\n".join(lines[start:end]), False)
            if block.tree and block.runs:
                return block.source + "\n"
    return text


def _definition_follows(lines: Sequence[str], place: int, fn_name: str) -> bool:
    return (
        parse(lines[place]) is not None
        or lines[place].rstrip().endswith((":", "(", ","))
        or lines[place].startswith("@")
    )


def _with_starter(program: str, starter: str, fn_name: str) -> str:
    """Puts the starter's imports and helpers before a program that repeats its signature and uses them."""
    tree = (
        parse(starter)
        or parse(starter.rstrip() + "\n    pass\n")
        or parse(starter.rstrip() + "\n        pass\n")
    )
    own = parse(program)
    if tree is None or own is None:
        return program
    defined = defined_names(own.body)
    used = {node.id for node in ast.walk(own) if isinstance(node, ast.Name)}
    kept = [
        node
        for node in tree.body
        if (names := defined_names([node])) - defined
        and fn_name not in names
        and (names & used or "*" in names or isinstance(node, ast.FunctionDef | ast.ClassDef))
    ]
    if not kept:
        return program
    joined = "\n".join(ast.unparse(node) for node in kept) + "\n" + program
    return joined if _compiles(joined) else program


def _compiles(source: str) -> bool:
    """`from __future__` behind other statements parses, but does not compile."""
    tree = parse(source)
    return tree is not None and not any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" and place
        for place, node in enumerate(tree.body)
    )
