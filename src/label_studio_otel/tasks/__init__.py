"""The tasks station."""

__all__: list[str] = []
