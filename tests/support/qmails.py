"""A qmail-queue that keeps what it gets: QUEUE is its program, in Python, with a file and what it does as its words: an
exit status, "early" (it reads nothing), "killed" (when it has everything)."""

from __future__ import annotations

QUEUE = """
import os, sys
def all_of(fd):
    found = b""
    while data := os.read(fd, 65536):
        found += data
    return found
if sys.argv[2] == "early":
    sys.exit(53)
message = all_of(0)
envelope = all_of(1)
if not envelope.endswith(b"\\0\\0"):
    sys.exit(91)
with open(sys.argv[1], "wb") as file:
    file.write(message + b"|" + envelope)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
sys.exit(int(sys.argv[2]))
"""
