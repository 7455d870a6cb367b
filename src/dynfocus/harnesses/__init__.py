"""Harnesses of others that run our models: lmms-eval, which finds them by entry point."""
