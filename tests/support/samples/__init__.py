"""Samples: for a line of any database of ClamAV's one inert file that it describes, and near misses of it."""
