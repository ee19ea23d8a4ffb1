"""Checks of an audit, each a generator of findings."""
