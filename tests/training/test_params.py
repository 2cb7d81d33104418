"""Contradictions are refused before anything is computed, and the papers' settings can be written down."""

import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines import seams
from pipelines import settings as settings_module
from pipelines.evaluation.evaluate_params import EvaluateParams
from pipelines.settings import seam_modules
from pipelines.training.options import SupervisedParams
from pipelines.training.policy_params import PolicyParams


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
        "pipelines.rollouts.samplers.flat",
        "pipelines.rewards.rules.final_answer",
    } <= named


def test_supervised_has_one_length():
    with pytest.raises(ValidationError, match="either steps or epochs"):
        SupervisedParams.model_validate({"steps": 1, "epochs": 1.0})
    lengths = [SupervisedParams.model_validate(given) for given in ({}, {"steps": 3}, {"epochs": 0.5})]
    assert [(length.steps, length.epochs) for length in lengths] == [(None, 1), (3, None), (None, 0.5)]


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
    assert settings.prompts * settings.responses // settings.updates_per_epoch == 64  # the paper's batch


# -- what a choice declares in its own file ------------------------------------------------------------------


@pytest.fixture
def added(tmp_path, monkeypatch):
    """(folder, name, text) -> a new choice in a copy of the seams' folders: one file, and nothing else."""
    for package in ("objectives", "credit", "rollouts", "rewards"):
        shutil.copytree(Path(settings_module.ROOT) / "pipelines" / package, tmp_path / "pipelines" / package)
    for module in (settings_module, seams):
        monkeypatch.setattr(module, "ROOT", tmp_path)

    def add(folder, name, text):
        (tmp_path / "pipelines" / folder / f"{name}.py").write_text(text)

    return add


ASSIGN = "def assign(experience, settings): ...\n"
GROW = "def grow(engine, prompts, settings, sampling): ...\n"
KEEP = "def keep(logprobs, entropy, settings): ...\n"
LOSS = "def policy_loss(logprobs, old_logprobs, advantages, selected, settings): ...\n"


@pytest.mark.parametrize(
    ("folder", "name", "text", "settings", "words"),
    [
        (
            "credit",
            "late",
            f"NEEDS = ('critic',)\n{ASSIGN}",
            {"credit": "late"},
            "credit late needs a value model",
        ),
        ("credit", "late", ASSIGN, {"credit": "late", "critic": {}}, "credit late asks no value model"),
        (
            "credit",
            "late",
            f"NEEDS = ('several_responses',)\n{ASSIGN}",
            {"credit": "late", "sampler": {"kind": "flat", "samples": 1}},
            "credit late compares responses to the same prompt: sampler flat gives 1",
        ),
        (
            "credit",
            "late",
            f"FOREST = 'tree'\n{ASSIGN}",
            {"credit": "late"},
            "credit late needs sampler tree: it cannot read the forest that flat grows",
        ),
        (
            "rollouts/samplers",
            "late",
            f"FOREST = 'star'\n{GROW}",
            {"sampler": "late"},
            "needs sampler flat: it cannot read the forest that late grows",
        ),
        (
            "objectives",
            "late",
            f"NEEDS = ('moved_policy',)\n{LOSS}",
            {"objective": "late", "updates_per_epoch": 1},
            "objective late changes nothing with one update per iteration",
        ),
        (
            "objectives/masks",
            "late",
            f"NEEDS = ('critic',)\n{KEEP}",
            {"mask": "late"},
            "mask late needs a value",
        ),
        (
            "objectives",
            "late",
            f"NEEDS = ('nothing',)\n{LOSS}",
            {"objective": "late"},
            "NEEDS names nothing; known",
        ),
        (
            "objectives",
            "late",
            f"NEEDS = tuple('a')\n{LOSS}",
            {"objective": "late"},
            "NEEDS must be written out",
        ),
    ],
)
def test_a_new_choice_is_refused_by_what_its_own_file_declares(added, folder, name, text, settings, words):
    added(folder, name, text)
    with pytest.raises(ValidationError, match=words):
        PolicyParams.model_validate(settings)


@pytest.mark.parametrize(
    ("folder", "text", "settings"),
    [
        ("credit", f"NEEDS = ('critic', 'several_responses')\n{ASSIGN}", {"credit": "late", "critic": {}}),
        (
            "credit",
            f"FOREST = 'tree'\n{ASSIGN}",
            {"credit": "late", "sampler": "tree", "sampling": {"max_new_tokens": 99}},
        ),
        ("objectives", f"NEEDS = ('critic',)\n{LOSS}", {"objective": "late", "critic": {}}),
        ("objectives", LOSS, {"objective": "late"}),
    ],
)
def test_a_new_choice_is_accepted_with_what_it_needs(added, folder, text, settings):
    added(folder, "late", text)
    assert PolicyParams.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"credit": "gae"}, "credit gae needs a value model: add a section critic"),
        ({"critic": {}}, "critic is set, but credit group asks no value model"),
        ({"credit": "segment_tree"}, "credit segment_tree needs sampler tree"),
        ({"credit": "segment_chain"}, "credit segment_chain needs sampler chain"),
        (
            {
                "credit": "segment_tree",
                "sampler": {"kind": "tree", "branching": [1, 1]},
                "sampling": {"max_new_tokens": 99},
            },
            "credit segment_tree compares responses to the same prompt: sampler tree gives 1",
        ),
        (
            {"credit": {"kind": "gae"}, "critic": {"init": "reward_model"}},
            "critic.init reward_model needs a reward model",
        ),
        ({"objective": "kl_cov", "updates_per_epoch": 1}, "objective kl_cov changes nothing with one update"),
        (
            {
                "objective": "reinforce",
                "replay": {},
                "credit": "segment_tree",
                "sampler": "tree",
                "sampling": {"max_new_tokens": 99},
            },
            "objective reinforce takes no ratio",
        ),
        ({"replay": {}}, "replay spreads the segments of a tree"),
        (
            {"sampler": "tree", "credit": "segment_tree", "sampling": {"max_new_tokens": 60}},
            "leaves nothing to the last level",
        ),
    ],
)
def test_the_choices_here_are_refused_by_what_they_declare(settings, words):
    with pytest.raises(ValidationError, match=words):
        PolicyParams.model_validate(settings)
