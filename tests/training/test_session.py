"""SIGTERM ends a run with status 143 and a checkpoint: after the step, or at once while nothing has been
updated.
"""

import os
import signal

import pytest

from pipelines.training.checkpoints import CheckpointParts, Checkpoints
from pipelines.training.engine import TorchEngine
from pipelines.training.options import OptimiserParams
from pipelines.training.session import TrainingSession
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens


class Silent:
    def truncate_curve(self, step):
        self.truncated = step


@pytest.fixture
def engine(tmp_path):
    return TorchEngine(make_tiny_model(make_tiny_tokens(tmp_path / "tokens")), OptimiserParams(), CPU)


@pytest.mark.parametrize(("paused", "done"), [(False, 3), (True, 2)])
def test_a_terminated_run_resumes_where_it_was(engine, tmp_path, paused, done):
    reporter, steps = Silent(), []
    session = TrainingSession(engine, Checkpoints(tmp_path / "c", 1e9, print), reporter, 5)
    assert reporter.truncated == 0

    def body():
        with session:
            for step in session:
                steps.append(step)
                if step == 2:
                    os.kill(os.getpid(), signal.SIGTERM)
                    if paused:
                        session.check_stop()

    with pytest.raises(SystemExit) as exit_status:
        body()
    assert exit_status.value.code == 143
    assert steps == [0, 1, 2]
    again = TrainingSession(engine, Checkpoints(tmp_path / "c", 1e9, print), reporter, 5)
    with again:
        assert list(again) == list(range(done, 5))
    assert reporter.truncated == done + 1


def test_the_old_handler_comes_back(engine, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with TrainingSession(engine, Checkpoints(tmp_path / "c", 1e9, print), Silent(), 1):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_error_in_a_step_is_not_swallowed(engine, tmp_path):
    with (
        pytest.raises(KeyError),
        TrainingSession(engine, Checkpoints(tmp_path / "c", 1e9, print), Silent(), 1),
    ):
        raise KeyError("x")


class Counted:
    """Changes within a step; what it saves is of the last step's end."""

    now = settled = 0

    def commit(self):
        self.settled = self.now

    def save(self, folder):
        (folder / "value").write_text(str(self.settled))

    def load(self, folder):
        self.now = self.settled = int((folder / "value").read_text())


@pytest.mark.parametrize(("paused", "expected"), [(False, 3), (True, 2)])
def test_what_a_broken_off_step_changed_is_not_saved(tmp_path, paused, expected):
    state = Counted()
    session = TrainingSession(
        CheckpointParts(counted=state), Checkpoints(tmp_path / "c", 1e9, print), Silent(), 5
    )

    def body():
        with session:
            for step in session:
                state.now += 1
                if step == 2:
                    os.kill(os.getpid(), signal.SIGTERM)
                    if paused:
                        session.check_stop()

    with pytest.raises(SystemExit):
        body()
    again = Counted()
    assert (
        TrainingSession(
            CheckpointParts(counted=again), Checkpoints(tmp_path / "c", 1e9, print), Silent(), 5
        ).done
        == expected
    )
    assert again.now == expected
