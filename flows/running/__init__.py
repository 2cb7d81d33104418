"""Running: one stage under a lifeline, one session over the graph, and the Prefect flow around it."""
