"""Daemon: aveserver, which speaks its own protocol and that of clamd, over scan/service."""
