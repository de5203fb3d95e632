"""The tuned model: from items, users and purchases to a small Llama that makes the list."""
