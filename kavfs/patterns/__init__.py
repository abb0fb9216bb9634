"""Patterns: lists of regular expressions and masks for addresses and names that others choose."""
