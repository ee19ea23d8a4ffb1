"""Flows to a table of features: the ``extract`` verb."""
