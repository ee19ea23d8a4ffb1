"""What people see: text made safe, consoles, progress, plots, tables, one HTML page."""
