"""The calls station."""

__all__: list[str] = []
