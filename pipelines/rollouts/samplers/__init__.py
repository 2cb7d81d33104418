"""Samplers, a seam: `NAME.py` grows a forest from prompts through a rollout engine."""
