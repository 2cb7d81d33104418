"""Judges that say which of two answers is better: `make(options, place) -> PairJudge` in each module."""
