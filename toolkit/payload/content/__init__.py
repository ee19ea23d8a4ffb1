"""What payloads hold, whatever their protocol: classes of bytes, words, names of programs."""
