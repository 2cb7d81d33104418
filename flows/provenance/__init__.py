"""Provenance: where bytes came from, whether they still match their record, and whether they can be
reproduced.
"""
