"""Sequential tests: what needs no model, because each failure can be counted."""
