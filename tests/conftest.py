"""What all tests share: an interpreter that has torch loaded, and the order of their files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows import forks

# Files that take a process more than ten seconds, heaviest first. `make test` hands out whole files: those that
# are long come first and in this order, so that no process is left alone with one at the end.
HEAVY = (
    "flows/test_failures_damage.py",
    "flows/test_failures_kills.py",
    "flows/test_recipes.py",
    "flows/test_tampers.py",
    "flows/test_launchers.py",
    "flows/test_aside.py",
    "flows/test_chats.py",
    "flows/test_shared_store.py",
    "flows/test_run_flow.py",
    "flows/test_plan_property.py",
    "flows/test_own_reward.py",
    "flows/test_rounds.py",
    "flows/test_head_start.py",
    "flows/test_requested.py",
    "flows/test_servers.py",
    "flows/test_registered_model.py",
    "docs/test_pages.py",
    "flows/test_staleness_code.py",
    "flows/test_judge_command.py",
    "flows/test_references.py",
    "flows/test_links.py",
    "tasks/test_report.py",
    "tasks/test_ppo_rm.py",
    "tasks/test_preference_processes.py",
    "sources/test_command_line.py",
    "tasks/test_verifier_processes.py",
    "training/test_policy_ranks.py",
    "training/test_deepspeed.py",
    "training/test_resume.py",
    "flows/test_own_settings.py",
    "flows/test_option_records.py",
    "flows/test_cli.py",
    "tasks/test_several_processes.py",
    "flows/test_failures_files.py",
    "flows/test_own_chain.py",
    "flows/test_merged_lock.py",
    "flows/test_audit.py",
    "flows/test_lineage.py",
    "tasks/test_code_stages.py",
    "flows/test_bad_files.py",
    "tasks/test_database_file.py",
    "tasks/test_report_preferences.py",
)


@pytest.fixture(scope="session")
def learning_python() -> Iterator[str]:
    """An interpreter whose processes start with what a stage that trains imports (`forks`): for chains that
    really learn and need no true process tree.
    """
    # short: it holds a socket
    with (
        tempfile.TemporaryDirectory(prefix="forks-") as folder,
        forks.server(Path(folder), forks.LEARNING) as path,
    ):
        yield path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the processes of `make test`, whose --no-loadscope-reorder keeps the order."""
    if hasattr(config, "workerinput"):
        here = Path(__file__).parent
        rank = {here / name: place for place, name in enumerate(HEAVY)}
        items.sort(key=lambda item: rank.get(item.path, len(HEAVY)))
