"""A small OpenAI-compatible server over one checkpoint, for one machine: a response after another."""
