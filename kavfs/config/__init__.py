"""Configuration: files and options to frozen values."""
