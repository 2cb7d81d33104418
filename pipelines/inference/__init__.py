"""Asking a trained model: a checkpoint with its contract, prompts, replies whole or as they are drawn, and a
server.
"""
