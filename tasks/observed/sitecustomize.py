"""Python runs this in every process that a stage starts, for the folder stands in PYTHONPATH: watched as the
stage is (tasks.reads).
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != HERE]
sys.path.insert(0, str(HERE.parents[1]))
try:
    from tasks import reads
finally:
    sys.path.pop(0)
reads.watch_child(os.environ)
own = sys.modules.pop(__name__)
try:
    import sitecustomize  # noqa: F401  the user's own, which this one stands before
except ImportError:
    sys.modules[__name__] = own  # the import that is under way looks for it
