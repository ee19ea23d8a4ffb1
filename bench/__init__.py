"""idskit bench."""
