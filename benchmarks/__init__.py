"""Measurements: kernels (bench_*.py, run by pytest) and journeys side by side with clamd and a floor in plain C."""
