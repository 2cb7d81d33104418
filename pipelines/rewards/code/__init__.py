"""Programs that are run on the tests of their problem."""
