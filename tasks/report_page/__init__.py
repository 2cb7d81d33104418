"""The report's page, as text and figures made from metrics, curves and samples."""
