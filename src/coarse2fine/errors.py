"""The exceptions of this package.

    Coarse2FineError        any error that the package detects
    ├── ConfigError         a setting, or a combination of settings, is not possible
    └── DataError           a file, a folder or an array is not as required

Every message says what must hold, what was found, where, and how to fix it. The command line prints the message without
a traceback and exits with status 2.
"""

MAX_MESSAGE = 1_500
"""A longer message, such as one that quotes a damaged file, is cut to this many characters."""


class Coarse2FineError(Exception):
    """Base class of all errors that this package detects.

    Args:
        message: One line of text. It may quote a file or a name: characters that cannot be printed are shown as escape
            sequences, such as ``\\n``, and the message is cut at `MAX_MESSAGE` characters.
    """

    def __init__(self, message: str) -> None:
        message = message.strip()
        if not message.isprintable():
            message = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in message)
        super().__init__(message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}...")


class ConfigError(Coarse2FineError):
    """A setting, or a combination of settings, is not possible."""


class DataError(Coarse2FineError):
    """A file, a folder or an array is not as required."""
