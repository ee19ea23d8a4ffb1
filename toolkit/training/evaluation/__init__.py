"""Evaluation: held-out rows, unseen captures, unseen attacks, models compared."""
