"""Scripts that measure what the pages claim: run one as `python -m benchmarks.NAME` from the project root."""
