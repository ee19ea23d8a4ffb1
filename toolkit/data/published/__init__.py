"""Data sets by their publishers' names."""
