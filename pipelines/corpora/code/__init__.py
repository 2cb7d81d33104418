"""Code problems from published sets: one form for all of them (dpo_vs_ppo.md 1.1), with every program in it a
whole one.
"""
