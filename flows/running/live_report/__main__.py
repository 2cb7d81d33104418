"""`python -m flows.running.live_report ROOT`: write the page of the run whose process holds our standard
input, until it closes.
"""

import os
import select
import sys
from pathlib import Path

from flows.running.live_report.watch import watch

LOWEST = 19  # of priorities


def _closed_within(seconds: float) -> bool:
    return bool(select.select([0], [], [], seconds)[0])


if __name__ == "__main__":
    os.nice(LOWEST)
    sys.exit(watch(Path(sys.argv[1]), _closed_within))
