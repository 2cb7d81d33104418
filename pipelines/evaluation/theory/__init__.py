"""DPO against PPO where every policy can be written down: 8 prompts, 8 answers (dpo_vs_ppo.md 6)."""
