"""Which response tokens carry loss. A mask sees facts about each token of a block and returns a bool for
each.
"""
