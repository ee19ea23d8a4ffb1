"""Packets to flows: capture -> decode -> flow table -> profile."""
