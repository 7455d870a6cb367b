"""Benchmarks: questions about videos with known answers."""
