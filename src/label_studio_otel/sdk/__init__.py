"""The sdk station."""

__all__: list[str] = []
