"""The commands of `whetstone`. Each imports what it needs when it is called, so that `plan` and a run without
work stay below a second.
"""
