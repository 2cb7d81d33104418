"""Distributions small enough to write down: what theory says of them, in float64."""

import torch


def probabilities(*values):
    return torch.tensor(values, dtype=torch.float64)


def entropy(p):
    return -(torch.xlogy(p, p)).sum()


def covariance(p, x, y):
    """Of x and y under p."""
    return (p * (x - (p * x).sum()) * (y - (p * y).sum())).sum()


def stepped(p, change):
    """The softmax policy whose logits differ by `change`."""
    return torch.softmax(p.log() + change, -1)
