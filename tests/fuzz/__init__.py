"""Fuzzing: one target for each parser of ours; `make fuzz`."""
