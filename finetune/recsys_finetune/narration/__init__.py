"""The sample base model: it learns to say one or two true sentences about the items of a prompt."""
