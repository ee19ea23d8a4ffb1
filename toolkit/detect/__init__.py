"""idskit detect."""
