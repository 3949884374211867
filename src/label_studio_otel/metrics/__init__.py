"""The metrics station."""

__all__: list[str] = []
