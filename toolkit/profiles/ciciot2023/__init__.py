"""The features of CICIoT2023, bug for bug."""
