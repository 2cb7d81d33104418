"""Outside sources: models, tokenizers and data by path, Hugging Face id or installed package."""
