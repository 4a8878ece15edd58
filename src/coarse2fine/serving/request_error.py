"""A request that is answered with what is wrong with it."""

from collections.abc import Mapping

from coarse2fine.errors import Coarse2FineError


class RefusalError(Coarse2FineError):
    """Why a request is not served.

    Attributes:
        status: Of HTTP, 400 and above.
        sentence: What must hold, what was found, and the way out.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = dict(headers or {})


def busy(what: str) -> RefusalError:
    """What is said to those who come when there is no place left."""
    return RefusalError(503, f"{what}; try again in a second.", {"Retry-After": "1"})
