"""WHAT: one module per stage. It reads declared inputs, calls pipelines, and writes declared outputs. This
package knows MLflow, but neither Prefect nor DVC.
"""
