"""Walking: roots to batches of entries with open descriptors."""
