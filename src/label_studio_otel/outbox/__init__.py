"""The outbox station."""

__all__: list[str] = []
