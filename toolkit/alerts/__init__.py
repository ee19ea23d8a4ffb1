"""Alerts: their content, and how they are written."""
