"""Losses of one pair of answers: one module for each, named by `loss.kind`."""
