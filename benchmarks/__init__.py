"""Measurements: kernels (bench_*.py, run by pytest) and scenarios beside a floor in plain C, clamd, fd and find."""
