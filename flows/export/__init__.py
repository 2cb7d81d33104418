"""A checkpoint for the world outside: a folder with its card, a GGUF file, a repository of the hub."""
