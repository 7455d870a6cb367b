"""Loops: rules that look at a video, read what a model makes of it, and look again."""
