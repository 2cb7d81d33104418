"""HOW: the learning machinery. Knows torch; no Prefect, DVC or MLflow."""
