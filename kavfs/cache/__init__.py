"""Cache: what earlier scans found out: the folder of stores, their settings, and what they can tell about a path."""
