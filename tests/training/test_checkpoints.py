"""A checkpoint is loaded whole or not at all; each part has a folder of its own."""

import pytest
import torch

from pipelines.training.checkpoints import Checkpoints, Parts


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
    saved, back = Parts(one=Part("1"), none=None, two=Part("2")), (Part("a"), Part("b"))
    Checkpoints(tmp_path / "c", 0, print).save(3, saved)
    folder = tmp_path / "c/step-00000003"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["one", "two"]
    assert Checkpoints(tmp_path / "c", 0, print).resume(Parts(one=back[0], two=back[1])) == 3
    assert [part.value for part in back] == ["1", "2"]


def damaged(folder, done):
    """A checkpoint whose second part has the right size and no sense."""
    Checkpoints(folder, 0, print).save(done, Parts(one=Part("9"), two=Part("?")))


def test_an_older_checkpoint_stands_in_for_one_that_loads_in_part(tmp_path):
    said = []
    damaged(tmp_path / "c", 2)
    (tmp_path / "c/step-00000002").rename(tmp_path / "aside")
    Checkpoints(tmp_path / "c", 0, print).save(1, Parts(one=Part("1"), two=Part("2")))
    (tmp_path / "aside").rename(tmp_path / "c/step-00000002")
    one, two = Part("a"), Part("b")
    assert Checkpoints(tmp_path / "c", 0, said.append).resume(Parts(one=one, two=two)) == 1
    assert (one.value, two.value) == ("1", "2")
    assert "step-00000002 cannot be read (no value)" in said[0]


def test_a_state_that_was_loaded_in_part_is_no_start(tmp_path):
    """To go on from step 0 with weights of step 2 would give a wrong result without a word."""
    damaged(tmp_path / "c", 2)
    one, two = Part("a"), Part("b")
    with pytest.raises(RuntimeError, match=r"no older checkpoint can be read.*damaged-step-00000002 now; run again"):
        Checkpoints(tmp_path / "c", 0, print).resume(Parts(one=one, two=two))
    assert (tmp_path / "c/damaged-step-00000002").is_dir()
    again = Part("a"), Part("b")
    assert Checkpoints(tmp_path / "c", 0, print).resume(Parts(one=again[0], two=again[1])) == 0
    assert [part.value for part in again] == ["a", "b"]


def test_random_state_comes_back(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", 0, print)
    checkpoints.save(1, Part("1"))
    expected = torch.rand(3)
    torch.rand(5)
    checkpoints.resume(Part("a"))
    assert torch.equal(torch.rand(3), expected)
