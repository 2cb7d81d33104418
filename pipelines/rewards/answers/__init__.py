"""What rules share: reading an answer out of a text, and telling whether two answers mean the same."""
