"""Models that judge responses: one module for each, named by `reward: {kind: …}`."""
