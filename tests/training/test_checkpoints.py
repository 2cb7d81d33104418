"""A checkpoint is loaded whole or not at all; each part has a folder of its own."""

import json

import pytest
import torch

from pipelines.training.checkpoints import CheckpointParts, Checkpoints, IncompatibleCheckpoint
from pipelines.training.ranks import Ranks


class Part:
    def __init__(self, value):
        self.value = value

    def save(self, folder):
        (folder / "value").write_text(self.value)

    def load(self, folder):
        found = (folder / "value").read_text()
        if found == "?":
            raise ValueError("no value")
        self.value = found


def test_parts_lie_apart_and_a_missing_one_is_passed_over(tmp_path):
    saved, back = CheckpointParts(one=Part("1"), none=None, two=Part("2")), (Part("a"), Part("b"))
    Checkpoints(tmp_path / "c", 0, print).save(3, saved)
    folder = tmp_path / "c/step-00000003"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["one", "two"]
    assert Checkpoints(tmp_path / "c", 0, print).resume(CheckpointParts(one=back[0], two=back[1])) == 3
    assert [part.value for part in back] == ["1", "2"]


def damaged(folder, done):
    """A checkpoint whose second part has the right size and no sense."""
    Checkpoints(folder, 0, print).save(done, CheckpointParts(one=Part("9"), two=Part("?")))


def test_an_older_checkpoint_stands_in_for_one_that_loads_in_part(tmp_path):
    said = []
    damaged(tmp_path / "c", 2)
    (tmp_path / "c/step-00000002").rename(tmp_path / "aside")
    Checkpoints(tmp_path / "c", 0, print).save(1, CheckpointParts(one=Part("1"), two=Part("2")))
    (tmp_path / "aside").rename(tmp_path / "c/step-00000002")
    one, two = Part("a"), Part("b")
    assert Checkpoints(tmp_path / "c", 0, said.append).resume(CheckpointParts(one=one, two=two)) == 1
    assert (one.value, two.value) == ("1", "2")
    assert "step-00000002 cannot be read (no value)" in said[0]


def test_a_state_that_was_loaded_in_part_is_no_start(tmp_path):
    """To go on from step 0 with weights of step 2 would give a wrong result without a word."""
    damaged(tmp_path / "c", 2)
    one, two = Part("a"), Part("b")
    with pytest.raises(
        RuntimeError, match=r"no older checkpoint can be read.*damaged-step-00000002 now; run again"
    ):
        Checkpoints(tmp_path / "c", 0, print).resume(CheckpointParts(one=one, two=two))
    assert (tmp_path / "c/damaged-step-00000002").is_dir()
    again = Part("a"), Part("b")
    assert Checkpoints(tmp_path / "c", 0, print).resume(CheckpointParts(one=again[0], two=again[1])) == 0
    assert [part.value for part in again] == ["a", "b"]


def test_random_state_comes_back(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", 0, print)
    checkpoints.save(1, Part("1"))
    expected = torch.rand(3)
    torch.rand(5)
    checkpoints.resume(Part("a"))
    assert torch.equal(torch.rand(3), expected)


class Agreeing(Ranks):
    """Several ranks that all say what this one says."""

    def broadcast_from_first(self, value):
        return value

    def _all_gather_object(self, value):
        return [value] * self.size


TWO = Agreeing(0, 2)
DIVIDED = {"zero_stage": 3, "offload": "none"}


def noting(folder, ranks=TWO, division=DIVIDED):
    return Checkpoints(folder, 0, print, ranks, division)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("ranks", "division", "now", "back"),
    [
        (Ranks.single(), DIVIDED, "processes 1", "execution.processes: 2, "),
        (Agreeing(0, 4), DIVIDED, "processes 4, zero_stage 3, offload none", "execution.processes: 2 again"),
        (
            TWO,
            DIVIDED | {"zero_stage": 2},
            "processes 2, zero_stage 2, offload none",
            "execution.zero_stage: 3 again",
        ),
        (
            TWO,
            DIVIDED | {"offload": "all"},
            "processes 2, zero_stage 3, offload all",
            "execution.offload: none again",
        ),
    ],
)
def test_other_execution_settings_leave_a_checkpoint_untouched(tmp_path, ranks, division, now, back):
    folder = tmp_path / "c/step-00000050"
    noting(tmp_path / "c").save(50, Part("50"))
    before, part = files(tmp_path), Part("a")
    with pytest.raises(IncompatibleCheckpoint) as error:
        noting(tmp_path / "c", ranks, division).resume(part)
    for words in (
        str(folder),
        "written with processes 2, zero_stage 3, offload none",
        f"this run has {now},",
        f"set {back}",
    ):
        assert words in str(error.value)
    assert f"or remove {folder}" in str(error.value)
    assert (part.value, files(tmp_path)) == ("a", before)
    assert noting(tmp_path / "c").resume(part) == 50, "set back, the run goes on"


def test_one_process_divides_nothing_whatever_the_settings_say(tmp_path):
    noting(tmp_path / "c", Ranks.single()).save(1, Part("1"))
    assert noting(tmp_path / "c", Ranks.single(), {"zero_stage": 0, "offload": "none"}).resume(Part("a")) == 1


def test_a_checkpoint_that_does_not_note_the_division_is_read(tmp_path):
    """As those were that noted the number of processes only."""
    noting(tmp_path / "c").save(1, Part("1"))
    path = tmp_path / "c/step-00000001/state.json"
    noted = json.loads(path.read_text())
    del noted["execution"]
    path.write_text(json.dumps(noted | {"ranks": 2}))
    assert noting(tmp_path / "c", TWO, {"zero_stage": 1, "offload": "none"}).resume(Part("a")) == 1
    with pytest.raises(
        IncompatibleCheckpoint,
        match=r"written with processes 2, this run has processes 1.*set execution.processes: 2 again",
    ):
        noting(tmp_path / "c", Ranks.single()).resume(Part("a"))
