"""Two processes with DeepSpeed's ZeRO stages 0 to 3 learn, sample, save and resume as one process with the
torch engine does.
"""

import os
from pathlib import Path

import pytest
import torch

from pipelines.models import policy
from pipelines.models.adapters import plain_state
from pipelines.training.deepspeed_engine import DeepSpeedEngine
from pipelines.training.options import OptimiserParams
from pipelines.training.ranks import Ranks
from tasks.launch import launch
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens
from tests.training import rank_worker

ROOT = Path(__file__).resolve().parents[2]
LAUNCHES = [
    ["0", "1", "2"],
    ["3", "0-muon"],
    pytest.param(["2-offload", "3-offload"], marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("ranks")
    make_tiny_tokens(made / "tokens")
    return made


@pytest.fixture(scope="module")
def alone(folder):
    return rank_worker.alone(policy.Tokens.load(folder / "tokens"), folder / "alone")


@pytest.fixture(scope="module", params=LAUNCHES, ids=["0,1,2", "3,0-muon", "offload"])
def several(request, folder, learning_python):
    """Names of the stages that ran, and what each rank found."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launch(
        2,
        [learning_python, "-m", "tests.training.rank_worker", str(folder), *request.param],
        grace=2,
        env=environment,
    )
    return {name: [torch.load(folder / f"{name}-{rank}.pt") for rank in (0, 1)] for name in request.param}


def test_they_compute_what_one_process_computes(several, alone, folder):
    for name, ranks in several.items():
        one = alone
        # Muon orthogonalises in bfloat16: where the last bit of its input differs, so does the third digit of
        # its result.
        exact = {"atol": 1e-5, "rtol": 1e-5}
        if name.endswith("muon"):
            settings = rank_worker.SETTINGS.model_copy(update={"kind": "muon"})
            one, exact = (
                rank_worker.alone(policy.Tokens.load(folder / "tokens"), folder / "muon", settings),
                {"atol": 1e-3, "rtol": 1e-3},
            )
        for found in ranks:
            assert torch.tensor(found["steps"]) == pytest.approx(
                torch.tensor(one["steps"]), rel=exact["rtol"]
            ), name
            torch.testing.assert_close(found["weights"], one["weights"], **exact)
            torch.testing.assert_close(found["scored"], one["scored"], **exact)
            torch.testing.assert_close(torch.tensor(found["adapted"]), torch.tensor(one["adapted"]), **exact)
            torch.testing.assert_close(found["adapted_weights"], one["adapted_weights"], **exact)
            torch.testing.assert_close(torch.tensor(found["values"]), torch.tensor(one["values"]), **exact)


def test_they_sample_the_tokens_of_one_process_from_weights_that_are_whole(several, alone):
    for name, ranks in several.items():
        if name.endswith("muon"):
            continue  # other weights
        for found in ranks:
            for group, expected in zip(found["sampled"], alone["sampled"], strict=True):
                assert [one[:2] for one in group] == [one[:2] for one in expected], name
                for one, other in zip(group, expected, strict=True):
                    assert one[2] == pytest.approx(other[2], abs=1e-4)
        assert ranks[0]["sampled"] == ranks[1]["sampled"]
        assert [[one[:2] for one in group] for group in ranks[0]["sampled_alone"]] == [
            [one[:2] for one in group] for group in found["sampled"]
        ]


def test_they_resume_to_the_same_bits(several):
    for ranks in several.values():
        for found in ranks:
            assert found["resumed"] == found["next"]
            assert all(
                torch.equal(value, found["next_weights"][key])
                for key, value in found["resumed_weights"].items()
            )


def test_the_saved_model_is_whole_and_plain(several, folder):
    for name, ranks in several.items():
        model, _ = policy.load(folder / name / "model")
        for key, value in plain_state(model).items():
            assert torch.equal(value, ranks[0]["weights"][key]), (name, key)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"zero_stage": 1, "kind": "muon"}, "muon needs whole matrices.*zero_stage to 0, or kind to adamw"),
        ({"zero_stage": 2, "offload": "all"}, "offload all needs zero_stage 3"),
        ({"zero_stage": 0, "offload": "optimiser"}, "offload optimiser needs zero_stage 1"),
    ],
)
def test_what_cannot_work_is_refused(folder, arguments, words):
    settings = OptimiserParams(kind=arguments.pop("kind", "adamw"))
    with pytest.raises(ValueError, match=words):
        DeepSpeedEngine(
            make_tiny_model(policy.Tokens.load(folder / "tokens")), settings, CPU, Ranks(0, 2), **arguments
        )
