"""The dry run: every stage of a recipe on a few rows, with a tiny random model of the same family."""
