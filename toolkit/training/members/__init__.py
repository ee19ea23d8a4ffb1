"""The members of an ensemble while they are trained, and the teachers of the network."""
