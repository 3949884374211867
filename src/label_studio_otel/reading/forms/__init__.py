"""The forms station."""

__all__: list[str] = []
