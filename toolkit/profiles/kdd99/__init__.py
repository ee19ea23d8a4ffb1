"""Features of KDD Cup 99 and NSL-KDD, bug for bug."""
