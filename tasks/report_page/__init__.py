"""The report's page: its text and figures, made from metrics, curves and samples."""
