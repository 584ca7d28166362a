"""The published Parquet straight to training batches.

    folder (files, version, fingerprint) -> index (small columns, once) -> batching (who shares a batch, pure)
        -> loader (a row group read, FLAC decoded, augmented, collated in worker processes) -> Batch

Everything that is drawn has a name made of the seed, the epoch and the row, so that the same seed gives the same bytes
with any number of workers, and a run that was stopped goes on with the rest of its sequence without reading any audio
before it.
"""
