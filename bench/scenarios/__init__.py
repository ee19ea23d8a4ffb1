"""What is measured: inference, server, pipeline, sustained load, extraction."""
