"""idskit: learned network-intrusion detection on edge gateways."""
