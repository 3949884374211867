"""The emitters station."""

__all__: list[str] = []
