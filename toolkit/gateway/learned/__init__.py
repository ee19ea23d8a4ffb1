"""What the service has learned of its site: hour by hour, over restarts, with what persons said."""
