"""The otlp station."""

__all__: list[str] = []
