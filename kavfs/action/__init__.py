"""What is done about a target that is not clean."""
