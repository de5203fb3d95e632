"""Small Llama models, from corpus to GGUF: tokenizer, architecture, training, export, and an engine to try them."""
