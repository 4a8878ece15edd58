"""The exceptions of this package.

    Coarse2FineError        any error that the package detects
    ├── ConfigError         a setting, or a combination of settings, is not possible
    └── DataError           a file, a folder or an array is not as required

Every message says what must hold, what was found, where, and how to fix it. The command line prints the message without
a traceback and exits with status 2.
"""


class Coarse2FineError(Exception):
    """Base class of all errors that this package detects."""


class ConfigError(Coarse2FineError):
    """A setting, or a combination of settings, is not possible."""


class DataError(Coarse2FineError):
    """A file, a folder or an array is not as required."""
