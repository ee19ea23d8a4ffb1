"""Views of a result file."""
