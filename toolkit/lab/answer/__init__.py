"""Small servers of the lab for what no program of the distribution answers."""
