"""Rewards that are functions of the user's own, each in a process of its own, and weighted sums of
rewards.
"""
