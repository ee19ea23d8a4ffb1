"""Features of CICFlowMeter: bug for bug, and corrected."""
