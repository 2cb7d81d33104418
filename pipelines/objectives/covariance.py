"""Token covariance of log-probability and advantage: what moves the policy's entropy (entropy.md 4.6 and
4.8).
"""

from __future__ import annotations

from torch import Tensor

from pipelines.objectives.portion import portion_down

TOP_SHARES = (0.0002, 0.002, 0.02, 0.2, 0.5, 1.0)  # the groups of tokens of the paper's table


def centred(logprobs: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
    """Both (N,), detached and without their means; means in float64."""
    first, second = logprobs.detach(), advantages.detach().to(logprobs.dtype)
    return first - first.double().mean().to(first.dtype), second - second.double().mean().to(second.dtype)


def token_covariance(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """Both (N,) over the tokens that count, log-probs float -> (N,): (logp - mean logp) * (A - mean A),
    without gradient.

    Their mean is the covariance.
    """
    first, second = centred(logprobs, advantages)
    return first * second


def selected_count(share: float, count: int) -> int:
    """floor(share * count), at least one; share 0 selects none."""
    return max(1, portion_down(share, count)) if share and count else 0


def covariance_figures(logprobs: Tensor, advantages: Tensor, selected: Tensor) -> dict[str, float]:
    """For the log, of one block of N tokens: the mean covariance of the top shares, and the signs of the
    selected (N,) bool tokens.

    `cov_top_0.002` is the mean over the 0.2 % largest; `cov_likely_good` the share of the selected whose
    log-prob and advantage both lie above their mean, and so on for the other three quadrants.
    """
    if not len(logprobs):
        return {}
    first, second = centred(logprobs, advantages)
    ordered = (first * second).double().sort(descending=True).values
    figures = {
        f"cov_top_{share:g}": float(ordered[: selected_count(share, len(ordered))].mean())
        for share in TOP_SHARES
    }
    likely, good, chosen = first > 0, second > 0, max(1, int(selected.sum()))
    for name, of_probability in (("likely", likely), ("rare", ~likely)):
        for other, of_advantage in (("good", good), ("bad", ~good)):
            figures[f"cov_{name}_{other}"] = int((of_probability & of_advantage & selected).sum()) / chosen
    return figures
