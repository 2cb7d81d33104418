"""The check of params.yaml for tests: its problems."""

from __future__ import annotations

from typing import Any

import pytest

from flows.graph.params import check
from flows.graph.params_file import ParamsError


def problems(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        check(raw)
    return caught.value.problems
