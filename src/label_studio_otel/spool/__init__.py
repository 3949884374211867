"""The spool station."""

__all__: list[str] = []
