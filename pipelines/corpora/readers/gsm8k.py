"""GSM8K (Cobbe et al. 2021) as published: the worked solution with calculator annotations, its last line
`#### answer`.

The annotations `<<48/2=24>>` are for a calculator that no model here has; they are removed, the text after
them stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipelines.corpora.raw.columns import BadRow, number, text
from pipelines.corpora.raw.problem import Problem, Reading, Role
from pipelines.corpora.raw.published import MARKER, problems, with_final_line
from pipelines.corpora.raw.sources_params import FileSource

SPAN = re.compile(r"<<[^<>]*>>")


def read(source: FileSource, reading: Reading) -> Iterator[Problem]:
    """Yields problems of rows `{question, answer}`; thousands commas of the final answer are removed."""

    def convert(row: dict[str, Any], role: Role) -> Problem:
        question, solution = text(row, "question"), SPAN.sub("", text(row, "answer"))
        working, marker, answer = solution.rpartition(MARKER.strip())
        if not marker:
            raise BadRow("answer has no ####")
        if not working.strip():
            raise BadRow("answer has no worked solution")
        final = number(answer)
        return Problem(question, final, role, reading.name, with_final_line(working, final, True))

    return problems(source, reading, convert)
