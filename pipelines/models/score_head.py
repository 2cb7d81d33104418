"""Reward and cost models: the policy's backbone with one score, read at the last token of prompt and answer
(dpo_vs_ppo.md 3.1).

They are transformers' own `AutoModelForSequenceClassification` with one label and no bias, so that a saved
one loads anywhere, and another's such model can be judged with here. An ensemble is a folder of members and
scores by their mean.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.models import adapters, policy
from pipelines.models.adapter_params import AdapterParams
from pipelines.models.loading import load_model
from pipelines.models.packing import PackableRow, can_share, pack
from pipelines.models.tokenizer import Tokens
from pipelines.sources.opening import OpenedSource

MEMBER = "member_{}"


class RewardEnsemble(nn.Module):
    """Reward models of one architecture, trained from different seeds on the same pairs."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble needs a member")
        self.members = nn.ModuleList(members)

    @property
    def config(self) -> Any:
        """The first member's."""
        return self.members[0].config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.parameters()).device
        return device


def make(model: Any, seed: int) -> Any:
    """Returns a reward model whose backbone is a copy of the policy `model`'s with merged adapters; the
    head's small weights depend on `seed` alone.

    ValueError for an architecture that transformers has no sequence classifier for, or whose classifier is no
    linear map of the last state.
    """
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(model.config)
    config.num_labels = 1
    try:
        with torch.random.fork_rng():
            reward_model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise ValueError(
            f"transformers has no sequence classifier for {model.config.model_type} models: {error}"
        ) from error
    prefix = f"{model.base_model_prefix}."
    weights = {
        name.removeprefix(prefix): value
        for name, value in adapters.plain_state(model).items()
        if name.startswith(prefix)
    }
    reward_model.base_model.load_state_dict(weights)
    nn.init.normal_(
        _head(reward_model).weight,
        std=model.config.initializer_range,
        generator=torch.Generator().manual_seed(seed),
    )
    return policy.without_dropout(reward_model.to(model.device)).eval()


def add_adapters(model: Any, settings: AdapterParams, seed: int) -> Any:
    """`adapters.add`, with the head still trained whole: it starts from noise. Returns the same object."""
    adapters.add(model, settings, seed)
    _head(model).requires_grad_(True)
    return model


def score_ends(model: Any, rows: Sequence[PackableRow]) -> Tensor:
    """Returns (R,) float32 with gradient: the score after each row's last token; of an ensemble the mean of
    its members.
    """
    if isinstance(model, RewardEnsemble):
        return score_members(model, rows).mean(0)
    packed = pack(rows, can_share(model)).to(model.device)
    states = packed.after(packed.states(model.base_model))
    with torch.autocast(states.device.type, enabled=False):  # a score in bfloat16 has three digits
        return _head(model)(states.float()).squeeze(-1)


def score_members(model: Any, rows: Sequence[PackableRow]) -> Tensor:
    """Returns (E, R) float32: each member's `score_ends`; (1, R) of a single model. Their spread measures the
    uncertainty of the mean.
    """
    members = model.members if isinstance(model, RewardEnsemble) else [model]
    return torch.stack([score_ends(member, rows) for member in members])


def save(model: Any, tokens: Tokens, folder: str | Path) -> None:
    """A Hugging Face model folder with our tokenizer files, adapters merged; an ensemble becomes member_0,
    member_1, ... of `folder`.
    """
    several = isinstance(model, RewardEnsemble)
    for index, member in enumerate(model.members if several else [model]):
        member.generation_config = None  # a classifier has none, not even the attribute
        policy.save(member, tokens, Path(folder) / MEMBER.format(index) if several else folder)


def load(folder: str | Path, trust_remote_code: bool = False) -> tuple[Any, Tokens]:
    """Returns the model or ensemble that `save` wrote, and its tokens. Raises ValueError unless it has one
    score, FileNotFoundError without a model.
    """
    members = list(_members(Path(folder)))
    if not members:
        return _load(Path(folder), trust_remote_code)
    loaded = [_load(member, trust_remote_code) for member in members]
    for (_, tokens), member in zip(loaded, members, strict=True):
        tokens.check_same(loaded[0][1], str(member))
    return RewardEnsemble([model for model, _ in loaded]), loaded[0][1]


def _members(folder: Path) -> Iterator[Path]:
    index = 0
    while (member := folder / MEMBER.format(index)).is_dir():
        yield member
        index += 1


def _load(folder: Path, trust_remote_code: bool) -> tuple[Any, Tokens]:
    from transformers import AutoModelForSequenceClassification

    tokens = Tokens.load(folder)
    if not list(folder.glob("*.safetensors")):
        raise FileNotFoundError(f"{folder} holds no *.safetensors file: run its stage again")
    model = load_model(
        AutoModelForSequenceClassification,
        OpenedSource(folder, str(folder)),
        trust_remote_code=trust_remote_code,
    )
    if model.config.num_labels != 1:
        raise ValueError(f"{folder}: a reward model has 1 label, this one {model.config.num_labels}")
    _head(model)
    return policy.without_dropout(model).eval(), tokens


def _head(model: Any) -> Any:
    """Returns the map from the last hidden state to the score."""
    head = getattr(model, "score", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(
            f"{type(model).__name__} has no linear `score` of its last state; only decoder models can be "
            f"reward models here"
        )
    return head
