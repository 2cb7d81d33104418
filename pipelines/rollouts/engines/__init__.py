"""Rollout engines: what continues token ids (`pipelines.rollouts.engine`), in this process or by vLLM."""
