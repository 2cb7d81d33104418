"""Contradictions are refused before anything is computed, and the papers' settings can be written down."""

import pytest
from pydantic import ValidationError

from pipelines.evaluation.evaluate_params import EvaluateParams
from pipelines.settings import seam_modules
from pipelines.training.policy_params import PolicyParams
from pipelines.training.supervised_params import SupervisedParams


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sampling": {"top_p": 0.9}}, "top_p and top_k must be off"),
        ({"sampling": {"top_k": 5}}, "top_p and top_k must be off"),
        ({"sampling": {"temperature": 0}}, "nothing to learn from"),
        ({"sampler": {"kind": "flat", "samples": 1}}, "at least 2"),
        (
            {
                "sampler": "tree",
                "credit": "segment_tree",
                "filter_truncated": True,
                "sampling": {"max_new_tokens": 99},
            },
            "filter_truncated needs sampler flat",
        ),
        ({"objective": "nothing"}, "known: .*clip"),
        ({"objective": "divergence"}, "no module"),  # exists, but is no policy objective
        ({"reward": "verdict"}, "known: .*final_answer"),
        ({"sampler": "local"}, "known: .*flat"),
        ({"objective": {"kind": "clip", "hihg": 0.2}}, "Extra inputs"),
        ({"optimiser": {"betas": [0.9, 1.0]}}, r"\[0, 1\)"),
    ],
)
def test_policy_contradictions(settings, words):
    with pytest.raises(ValidationError, match=words):
        PolicyParams.model_validate(settings)


def test_the_modules_of_a_method_are_known_from_its_values():
    named = set(seam_modules(PolicyParams()))
    assert {
        "pipelines.objectives.clip",
        "pipelines.credit.group",
        "pipelines.rollouts.flat",
        "pipelines.rewards.final_answer",
    } <= named


def test_supervised_needs_one_length():
    for settings in ({}, {"steps": 1, "epochs": 1.0}):
        with pytest.raises(ValidationError, match="either steps or epochs"):
            SupervisedParams.model_validate(settings)


def test_evaluation_always_samples():
    with pytest.raises(ValidationError, match="greedy answers are always given"):
        EvaluateParams.model_validate({"sampling": {"temperature": 0}})


def test_spo_paper_settings_of_grpo_are_expressible():
    """spo.md 5 and 7: GRPO on GSM8K with RhoMath-1.1B (top-p off, see the validator)."""
    settings = PolicyParams(
        prompts=64,
        sampler={"kind": "flat", "samples": 8},
        sampling={"temperature": 0.6, "max_new_tokens": 1024},
        credit={"kind": "group", "spread": "population", "epsilon": 1e-8},
        whitening={"how": "standard"},
        objective={"kind": "clip", "low": 0.2, "high": 0.2},
        kl={"use": "loss", "coef": 1e-4, "estimator": "k3", "aggregation": "seq_mean_token_sum"},
        max_mean_ratio=10.0,
        iterations=1000,
        epochs=2,
        updates_per_epoch=8,
        old_logprobs="trainer",
        zero_signal="count",
        optimiser={
            "learning_rate": 1e-6,
            "betas": (0.9, 0.999),
            "weight_decay": 0.0,
            "grad_clip": 1.0,
            "gradient_checkpointing": True,
        },
        schedule={"warmup": 0.03, "decay": "linear"},
    )
    assert settings.prompts * settings.samples // settings.updates_per_epoch == 64  # the paper's batch
