"""The graph: parameters, the code that each stage uses, DVC's declarations, and the plan. Nothing is run from
here.
"""
