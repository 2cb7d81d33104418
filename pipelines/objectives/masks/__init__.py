"""Which response tokens carry loss. A mask sees the rollout's facts about each token and returns a bool for each."""
