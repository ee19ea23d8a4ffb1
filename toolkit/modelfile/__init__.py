"""The model file: read strictly, checked, rebuilt, signed."""
