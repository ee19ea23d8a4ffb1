"""What is normal at this site: learned levels, the budget of false incidents, drift."""
