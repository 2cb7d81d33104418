"""What the tests of code rewards share: judges that are skipped, with the reason, where no sandbox can be
made.
"""

import json

import pytest

from pipelines.rewards.code.code_tests_params import CodeTestsParams
from pipelines.rewards.code.program_scoring import CodeTests
from pipelines.rewards.sandbox.probe import SandboxUnavailable

QUICK = {"test_seconds": 1, "wall_seconds": 1.2, "total_seconds": 20}


def judges(workers=1, **params):
    try:
        return CodeTests(CodeTestsParams(limits=QUICK | params.pop("limits", {}), **params), workers)
    except SandboxUnavailable as error:
        pytest.skip(str(error))


def answer(*tests, **fields):
    return json.dumps({"hidden_tests": list(tests), **fields})


def stdio(*pairs):
    return answer(*({"input": given, "output": wanted} for given, wanted in pairs))
