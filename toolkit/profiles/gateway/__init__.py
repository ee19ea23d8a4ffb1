"""The ``gateway`` profile: the features that idskit detects with."""
