"""idskit export."""
