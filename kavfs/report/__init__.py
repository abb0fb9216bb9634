"""Reports: text lines, JSON lines, lists, the end summary."""
