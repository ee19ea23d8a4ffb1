"""idskit audit."""
