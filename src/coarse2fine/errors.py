"""What can go wrong, as one tree.

    Coarse2FineError        anything this package raises on purpose
    ├── ConfigError         a setting or a combination of settings cannot work
    └── DataError           a file, a folder or an array is not what it must be

Every message says what must hold, what was found, where, and the way out. The command line prints it as one sentence
and exits with status 2.
"""


class Coarse2FineError(Exception):
    """Anything coarse2fine raises on purpose."""


class ConfigError(Coarse2FineError):
    """A setting, or a combination of settings, cannot work."""


class DataError(Coarse2FineError):
    """A file, a folder or an array is not what it must be."""
