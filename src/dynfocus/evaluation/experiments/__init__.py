"""Experiments: comparisons and ablations; those that train need the extra ``train``."""
