"""idskit training."""
