"""A trained network as graph operators that run fast."""
