"""Names and units of every feature profile, as data: no numba."""
