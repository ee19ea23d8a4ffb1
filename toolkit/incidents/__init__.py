"""Evidence over hosts and time becomes incidents: one per attack, with attacker, target and why."""
