"""`python -m flows`: the same as `whetstone`."""

from flows.cli import main

main()
