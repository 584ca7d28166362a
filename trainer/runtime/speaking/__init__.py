"""Streaming speech: a module of this folder is a kind, with ``Config`` and ``make(config) -> Speaker``."""
