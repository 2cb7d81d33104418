"""A method in words, from its typed settings: the choice at each seam, and its reward. The training stage
writes it and the report shows it.
"""

from __future__ import annotations

from pydantic import BaseModel

from pipelines.training.policy_params import PolicyParams


def in_words(settings: PolicyParams) -> dict[str, str]:
    """Returns {seam: its choice with the options that were set}: {"reward": "reward_model, model
    reward_model", "sampler": "flat, samples 8", "credit": "group, spread sample", …}.

    `prompts` and `updates` are those of an iteration; `also` lists what only some methods have, and may be
    empty.
    """
    kl, shaping, whitening = settings.kl, settings.shaping, settings.whitening
    moving = f", reference moves by {settings.reference.rate:g}" if settings.reference.rate else ""
    also = {
        f"validated by {settings.checker}": settings.checker is not None,
        "critic": settings.critic is not None,
        f"whitened over {settings.whitened_over}": whitening.how != "none",
        f"scores by {shaping.normalise}": shaping.normalise != "none",
        "overlong shaping": shaping.overlong is not None,
        "dynamic sampling": settings.refill is not None,
        "replay": settings.replay is not None,
        "adapters": settings.adapter is not None,
    }
    return {
        "reward": _reward(settings.reward),
        "sampler": _choice(settings.sampler),
        "prompts": str(settings.prompts),
        "credit": _choice(settings.credit),
        "mask": _choice(settings.mask),
        "objective": _choice(settings.objective),
        "KL": f"{kl.use}, {kl.coef:g} {kl.estimator}{moving}" if settings.needs_reference else "none",
        "updates": str(settings.epochs * settings.updates_per_epoch),
        "also": ", ".join(name for name, present in also.items() if present),
    }


def _reward(reward: BaseModel) -> str:
    """Returns the reward as a choice; a sum as `2 x final_answer + 1 x a.py:polite`."""
    parts = getattr(reward, "parts", None)
    if not parts:
        return _choice(reward)
    return " + ".join(f"{part.weight:g} x {_choice(part.reward)}" for part in parts.values())


def _choice(record: BaseModel) -> str:
    """Returns `tree, branching 4-3-2, segment 6`: the kind, and the other fields that params.yaml sets, in
    the order of their record.
    """
    kind = str(record.kind)  # type: ignore[attr-defined]
    fields = [
        name for name in type(record).model_fields if name != "kind" and name in record.model_fields_set
    ]
    return ", ".join(
        [kind, *(f"{name.replace('_', ' ')} {_value(getattr(record, name))}" for name in fields)]
    )


def _value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "-".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
