"""The live system: the forked fast path, the verifier, the slow path, and one voice for both."""
