"""Tables of flows in files: the one way to open them, and to decide columns, types and labels."""
