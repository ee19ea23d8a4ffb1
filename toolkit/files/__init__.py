"""Files and folders: where the project writes, and how a file is written whole or not at all."""
