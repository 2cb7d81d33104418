"""Judges that say which of two answers is better: `make(options, context) -> PairJudge` in each module."""
