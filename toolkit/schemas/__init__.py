"""Column names and units of every feature schema, as data."""
