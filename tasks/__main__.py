"""`python -m tasks STAGE`: run one stage. The runner passes a pinned specification; started alone, or by a
bare `dvc repro`, the stage pins its own.

python -m tasks sft
python -m tasks rl@grpo
"""

import os
import sys
from pathlib import Path

from tasks import reads

if __name__ == "__main__":
    # the runner says it too; numba's own place is beside the code, whose reads are watched
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path.cwd() / reads.KERNELS))
    reads.begin(Path.cwd())  # before anything else is loaded or read
    from tasks.command import main

    sys.exit(main(sys.argv[1:]))
