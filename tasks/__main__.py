"""`python -m tasks STAGE`: run one stage. The runner hands it a pinned specification; alone, or under a bare
`dvc repro`, it pins its own.

python -m tasks sft
python -m tasks rl@grpo
"""

import sys
from pathlib import Path

from tasks import reads

if __name__ == "__main__":
    reads.begin(Path.cwd())  # before anything else is loaded or read
    from tasks.command import main

    sys.exit(main(sys.argv[1:]))
