"""Fitting the members of an ensemble, and the teachers they learn from."""
