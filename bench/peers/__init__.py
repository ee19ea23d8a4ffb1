"""What else could do the same work."""
