"""One file is one foreign format that is taken in: ``Config`` and ``make(config) -> Importer`` (see ``_base``)."""
