"""A language model as a verifier: its prompt, its labels, and how their probabilities become rewards
(reward_bridge.md 2 and 3).
"""
