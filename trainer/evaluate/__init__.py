"""The tables: every figure with its interval and, where one is known, its ceiling."""
