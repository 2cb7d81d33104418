"""WHAT: one module per stage. Reads declared inputs, calls pipelines, writes declared outputs. Knows MLflow;
no Prefect, no DVC.
"""
