"""What is not finite is named: the sample, its values, and a file that holds both."""

import json
import math

import pytest
import torch

from pipelines.training.guard import NotFinite, check_finite
from pipelines.training.training_row import TrainingRow


def row(name, count):
    values = torch.arange(count, dtype=torch.float32)
    return TrainingRow(name, ((1, 2), (3,)), tuple(range(count)), values, values - 1, values)


ROWS = [row("a", 2), row("b", 1), row("c", 3)]


@pytest.mark.parametrize(("place", "name"), [(0, "a"), (1, "a"), (2, "b"), (3, "c"), (5, "c")])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_sample_is_found(place, name, bad):
    values = torch.zeros(6)
    check_finite(values, ROWS, "the thing")
    values[place] = bad
    with pytest.raises(NotFinite, match="the thing is not finite") as caught:
        check_finite(values, ROWS, "the thing")
    assert caught.value.row.question == name
    assert len(caught.value.values) == len(caught.value.row.ids)


def test_one_value_for_all_rows_names_the_first():
    with pytest.raises(NotFinite) as caught:
        check_finite(torch.tensor([math.nan]), ROWS, "loss")
    assert caught.value.row.question == "a"


def test_nothing_at_all_is_finite():
    check_finite(torch.zeros(0), [], "loss")


def test_the_dump_can_be_read(tmp_path):
    found = NotFinite("loss", ROWS[2], [math.nan, math.inf, 1.0]).dump(tmp_path / "new", 12)
    path = tmp_path / "new/not-finite-000012.json"
    assert str(path) in str(found)
    assert "iteration 12" in str(found)
    assert "sample for c" in str(found)
    content = json.loads(path.read_text())
    assert content["values"] == ["nan", "inf", "1.0"]
    assert content["context"] == [[1, 2], [3]]
    assert content["ids"] == [0, 1, 2]
    assert content["sampler_logprobs"] == ["0.0", "1.0", "2.0"]
    assert content["old_logprobs"] == ["-1.0", "0.0", "1.0"]
