"""WHEN: graph, plan, run, lineage, command line. Knows Prefect and DVC; nothing here learns."""
