"""The version, read by the build and by every record's header."""

__version__ = "0.1.0"
