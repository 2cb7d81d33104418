"""A language model as a verifier: its prompt, its labels, and how their probabilities become rewards (methods/reward_bridge.md 2 and 3)."""
