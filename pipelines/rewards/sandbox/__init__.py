"""Where code that a model wrote runs: a bubblewrap sandbox for each program, and trusted code outside that
compares what comes out.

The program never meets an expected value or the code of a test: it gets inputs and arguments, and gives
output and values back. So there is nothing in its process to read, patch or pretend; the worst it can do
there is to fail.

`launcher` makes the sandbox, `harness` is the first thing that runs in it, `process` speaks with it from
outside; `driver` runs the test code in a second sandbox, with the program's functions as remote calls; `run`
puts the two together.
"""
