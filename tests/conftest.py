"""Fences around every test: a clean environment, and no child process or descriptor left behind."""
