"""The web page of the service, in a process of its own without rights."""
