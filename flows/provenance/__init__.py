"""Provenance: where bytes came from, whether they still are what was recorded, and whether they can be made
again.
"""
