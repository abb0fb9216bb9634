"""Scanning: fork server, workers, dispatcher and the job that joins them."""
