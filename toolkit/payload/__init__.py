"""What payloads mean: protocol fields, byte classes and words, counted per flow."""
