"""The process that idskit runs in: signals, standard streams, telemetry switched off."""
