"""Helpers of the tests: import as `from tests.support.NAME import ...`."""
