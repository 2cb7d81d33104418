"""What may not go together in a policy run, each refusal with its reason.

What a choice needs beside itself stands in its own file, as a constant: `FOREST` of a sampler is what it
grows, of a credit what it reads; `NEEDS` of a credit, a mask or an objective are words of `NEEDS` here. So a
new choice is one file, and nothing here knows it by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

from pydantic import model_validator

from pipelines.training.loop_params import CREDIT, MASK, OBJECTIVE, SAMPLER, LoopParams


class Need(NamedTuple):
    """`met`: whether the settings have it; `reason`: what is said where they have not, after the choice's
    name.
    """

    met: Callable[[LoopParams], bool]
    reason: Callable[[LoopParams], str]


NEEDS = {
    "critic": Need(
        lambda settings: settings.critic is not None,
        lambda settings: "needs a value model: add a section critic",
    ),
    "several_responses": Need(
        lambda settings: settings.responses >= 2,
        lambda settings: (
            f"compares responses to the same prompt: sampler {settings.sampler.kind} gives "
            f"{settings.responses}, at least 2 are needed"
        ),
    ),
    "own_samples": Need(
        lambda settings: settings.replay is None,
        lambda settings: (
            "takes no ratio, and replay trains on what older policies sampled: use an objective that takes "
            "one, such as clip, or no replay"
        ),
    ),
    "moved_policy": Need(
        lambda settings: settings.epochs * settings.updates_per_epoch > 1 or settings.replay is not None,
        lambda settings: (
            "changes nothing with one update per iteration: its penalty is 0 where the ratio is 1; raise "
            "updates_per_epoch or epochs"
        ),
    ),
}


class PolicyParams(LoopParams):
    """What a run of `rl` does, and a preset of `rl.methods`."""

    @model_validator(mode="after")
    def _legal(self) -> Self:
        """Refuse what cannot be right, with the reason."""
        rules = (_of_choices, _of_sampling, _of_shaping, _of_reference, _of_critic, _of_loop)
        problems = [text for rule in rules for wrong, text in rule(self) if wrong]
        if problems:
            raise ValueError("; ".join(problems))
        return self


Rules = Iterator[tuple[bool, str]]


def _of_choices(settings: LoopParams) -> Rules:
    """Yields the rules of the choices at the seams, by what each choice declares."""
    credit, sampler = settings.credit.kind, settings.sampler.kind
    forest = CREDIT.constant(credit, "FOREST", "flat")
    if forest != settings.forest:
        fitting = [name for name in SAMPLER.names() if SAMPLER.constant(name, "FOREST", "flat") == forest]
        yield (
            True,
            f"credit {credit} needs sampler {' or '.join(fitting) or forest}: it cannot read the forest "
            f"that {sampler} grows",
        )
    needs, none = set[str](), tuple[str, ...]()
    for word, seam in (("credit", CREDIT), ("mask", MASK), ("objective", OBJECTIVE)):
        kind = getattr(settings, word).kind
        for need in seam.constant(kind, "NEEDS", none):
            if need not in NEEDS:
                raise ValueError(f"{seam.module(kind)}: NEEDS names {need}; known: {', '.join(NEEDS)}")
            needs.add(need)
            yield not NEEDS[need].met(settings), f"{word} {kind} {NEEDS[need].reason(settings)}"
    yield (
        settings.critic is not None and "critic" not in needs,
        f"critic is set, but credit {credit} asks no value model: remove one of them",
    )


def _of_sampling(settings: LoopParams) -> Rules:
    sampling, refill = settings.sampling, settings.refill
    yield (
        sampling.temperature == 0,
        "sampling.temperature 0 gives every response of a prompt alike: nothing to learn from; use a value "
        "above 0",
    )
    yield (
        sampling.top_p < 1 or sampling.top_k > 0,
        "sampling.top_p and top_k must be off while training: the loss takes ratios of the full "
        "distribution's probabilities, and a sample from a restricted one makes them wrong; use temperature "
        "instead",
    )
    yield (
        sampling.max_new_tokens <= settings.reserved,
        f"sampling.max_new_tokens {sampling.max_new_tokens} leaves nothing to the last level of sampler "
        f"{settings.sampler.kind}: its inner levels (sampler.branching, sampler.segment) take "
        f"{settings.reserved}",
    )
    yield (
        refill is not None and (settings.forest != "flat" or settings.responses < 2),
        "refill looks at the spread of several responses to a prompt: use sampler flat with at least 2 "
        "samples",
    )
    yield (
        refill is not None and refill.rounds is None and refill.max_tokens is None,
        "refill.rounds null needs refill.max_tokens: problems that are always answered alike would be "
        "sampled for ever",
    )


def _of_shaping(settings: LoopParams) -> Rules:
    sampler, flat = settings.sampler.kind, settings.forest == "flat"
    yield (
        settings.shaping.normalise != "none" and not flat,
        f"shaping.normalise needs sampler flat: with {sampler} an expected reward must stay comparable "
        f"between states",
    )
    yield (
        settings.shaping.normalise == "group" and settings.responses < 2,
        f"shaping.normalise group {NEEDS['several_responses'].reason(settings)}",
    )
    yield (
        settings.filter_truncated and not flat,
        f"filter_truncated needs sampler flat: segments of a {sampler} are cut by design",
    )


def _of_reference(settings: LoopParams) -> Rules:
    kl, moves, sampler = settings.kl, settings.reference.rate > 0, settings.sampler.kind
    yield (
        kl.use == "reward" and settings.forest != "flat",
        f"kl.use reward needs sampler flat: segments of a {sampler} have no reward of their own",
    )
    yield (
        kl.use != "none" and kl.coef == 0,
        "kl.use is set, but kl.coef is 0: set use to none, or a weight",
    )
    yield (
        moves and not settings.needs_reference,
        "reference.rate moves a reference model that nothing uses: set kl.use and kl.coef",
    )
    yield (
        moves and settings.adapter is not None,
        "with an adapter the reference is the start model: reference.rate must be 0",
    )


def _of_critic(settings: LoopParams) -> Rules:
    critic, reward = settings.critic, settings.reward.kind
    if critic is None:
        return
    yield (
        critic.init not in ("policy", reward),
        f"critic.init {critic.init} needs a reward model, reward is {reward}: set critic.init to policy",
    )
    yield (
        critic.warmup >= settings.iterations,
        f"critic.warmup {critic.warmup} leaves the policy none of its {settings.iterations} iterations",
    )


def _of_loop(settings: LoopParams) -> Rules:
    yield (
        settings.replay is not None and settings.forest != "tree",
        "replay spreads the segments of a tree: use sampler tree, or remove replay",
    )
    yield (
        settings.keep == "best" and not settings.validation_every,
        "keep: best needs validation_every above 0; set it, or keep: last",
    )
