"""The delivery station."""

__all__: list[str] = []
