"""Tools for compiled kernels that know no packet."""
