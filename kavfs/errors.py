"""Errors that stop a program, with the exit code each gives.

A failure on one object is never one of these: it is a Result with status ERROR.

    KavfsError
     +- DatabaseMissing      50
     +- DatabaseDamaged      55
     +- ConfigError          65
     +- UsageError           66
     +- SystemFailure        30
"""

from __future__ import annotations


class KavfsError(Exception):
    """Anything that keeps a program from doing its job; str() is one line for the administrator."""

    exit_code = 30


class DatabaseMissing(KavfsError):
    """There are no signatures at the place named."""

    exit_code = 50


class DatabaseDamaged(KavfsError):
    """Signatures or an image cannot be used: damaged, or made for another version or CPU."""

    exit_code = 55


class ConfigError(KavfsError):
    """The configuration cannot be read or makes no sense."""

    exit_code = 65


class UsageError(KavfsError):
    """The command line cannot be carried out as it stands."""

    exit_code = 66


class SystemFailure(KavfsError):
    """The system refused something a scan cannot do without: a full disk, no processes, no memory."""

    exit_code = 30
