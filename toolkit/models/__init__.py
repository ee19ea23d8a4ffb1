"""idskit models."""
