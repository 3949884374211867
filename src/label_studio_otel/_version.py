"""The version of this package, for the build, the User-Agent of requests and the instruments of metrics."""

__version__ = "0.1.0"
