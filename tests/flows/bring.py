"""`whetstone run` without Prefect, MLflow and snapshots, for tests of staleness: the same session and
executor, a stage after the other.

Prints what `whetstone run --json` prints. `python tests/flows/bring.py [--force] [STAGE…]` in a project.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path.cwd())

from flows.running.executor import StageFailed  # noqa: E402
from flows.running.run import Ran  # noqa: E402
from flows.running.session import Session  # noqa: E402


def main() -> int:
    targets = [word for word in sys.argv[1:] if word != "--force"]
    with Session(Path.cwd(), targets, "--force" in sys.argv) as session:
        for row in session.plan.rows:
            if row.action == "keep":
                continue
            if any(name in session.outcome.failed for name in row.upstream):
                session.skipped(row.stage)
                continue
            try:
                session.bring(row)
            except StageFailed:
                continue  # noted in the outcome
        ran = Ran(1 if session.outcome.failed else 0, session.run, session.plan, session.outcome)
    print(ran.as_json())
    return ran.code


sys.exit(main())
