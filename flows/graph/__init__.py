"""The graph: parameters, the code that each stage reaches, DVC's declarations, and the plan. Starts
nothing.
"""
