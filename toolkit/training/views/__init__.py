"""How training shows its results."""
