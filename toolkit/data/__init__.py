"""idskit data."""
