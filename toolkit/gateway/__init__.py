"""The service: capture, detection, incidents and sinks as one process that runs for months."""
