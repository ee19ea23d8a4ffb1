"""Frames to packets: link layers, IP, IP reassembly, transport headers, checksums."""
