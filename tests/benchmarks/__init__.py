"""Speed, memory and same-bytes benchmarks; ``make bench`` runs them. Ratios are taken within one run."""
