"""WHEN: the graph, plans, runs, lineage and the command line. This package knows Prefect and DVC; no model is
trained here.
"""
