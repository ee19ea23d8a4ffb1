"""Where frames come from: files, folders, pipes and network interfaces."""
