"""`execution.liger` reaches the stages that train, RL's among them: without a GPU they say so."""

import pytest

from tests.training.stages import make_inputs, make_stage, run


@pytest.mark.parametrize("name", ["sft@sft", "rl@grpo"])
def test_liger_is_not_passed_over(tmp_path, monkeypatch, name):
    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"execution\.liger needs a GPU"):
        run(make_stage(tmp_path, name, liger=True))
