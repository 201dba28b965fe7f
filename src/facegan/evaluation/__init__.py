"""Feature extractors, metrics and the report."""
