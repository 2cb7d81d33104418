"""The files that `make test` begins with are there, and named once."""

from pathlib import Path

from tests.conftest import HEAVY


def test_heavy_files_are_there_and_named_once() -> None:
    here = Path(__file__).parent
    assert [name for name in HEAVY if not (here / name).is_file()] == []
    assert len(set(HEAVY)) == len(HEAVY)
