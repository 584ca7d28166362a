"""One file is one consumer's format: ``Config`` and ``make(config) -> Exporter`` (see ``datagen.sink``)."""
