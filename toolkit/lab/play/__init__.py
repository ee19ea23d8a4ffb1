"""Scripts of people, devices and attackers for what no program of the distribution does."""
