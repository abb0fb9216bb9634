"""kavfs: a malware scanner for Linux that scans once."""
