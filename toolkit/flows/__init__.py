"""Packets to flows: the table of open flows, and what it keeps of each flow and host."""
