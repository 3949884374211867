"""The label_studio station."""

__all__: list[str] = []
