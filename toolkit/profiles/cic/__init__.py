"""CICFlowMeter's features, bug for bug, and mended."""
