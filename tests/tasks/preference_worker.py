"""One of several processes of a stage whose specification is no runner's: `python -m
tests.tasks.preference_worker STAGE`.
"""

import os
import sys
from importlib import import_module

from tasks import launch
from tasks.stage import Spec, Stage

if __name__ == "__main__":
    stage = Stage(Spec.read(os.environ["WHETSTONE_SPEC"]), first=launch.is_first())
    import_module(f"tasks.{sys.argv[1].partition('@')[0]}").run(stage)
    launch.end_worker()
