"""This machine: facts, sensors, installed packages, and what works here."""
