"""Fewer bits: int8, fp16, and the search for what keeps the verdicts."""
