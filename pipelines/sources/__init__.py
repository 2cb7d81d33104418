"""What comes from outside: models and tokenizers by path, Hugging Face id or installed package."""
