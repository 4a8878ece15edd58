"""Who may ask: not other sites by way of the user's browser, and nobody without the token where one is set."""

import hashlib
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coarse2fine.serving.error_responses import problem
from coarse2fine.serving.request_error import RefusalError

OWN_HEADER = "x-coarse2fine"
"""Every request that changes something has it; a form of another site cannot set it."""

ENTER = "/api/enter"
"""Where the token is given."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Door:
    """The token, and what a browser keeps of it.

    Args:
        token: What lets people in; none: everybody.
        port: Part of the cookie's name, since cookies do not tell ports apart.
    """

    def __init__(self, token: str | None, port: int) -> None:
        self.token = token
        self.cookie = f"coarse2fine-{port}"
        self.pass_text = hashlib.sha256(f"coarse2fine app {token}".encode()).hexdigest()

    def opens(self, token: str) -> bool:
        """Whether this is the token; takes the same time whatever is wrong with it."""
        return self.token is None or hmac.compare_digest(token.encode(), self.token.encode())

    def lets_in(self, request: Request) -> bool:
        """Whether a request brings the cookie or ``Authorization: Bearer <token>``."""
        if self.token is None:
            return True
        kept = request.cookies.get(self.cookie, "").encode()
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        by_header = scheme.lower() == "bearer" and self.opens(given)
        return hmac.compare_digest(kept, self.pass_text.encode()) or by_header


class Guard:
    """Refuses what must not be answered, and tells browsers to keep others out.

    Args:
        app: What is guarded.
        door: The token.
        local: Whether only this machine is listened to: then names of other machines are refused, behind which a
            strange site may hide (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, door: Door, local: bool) -> None:
        self.app, self.door, self.local = app, door, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(Request(scope))
        except RefusalError as refusal:
            await problem(refusal.status, refusal.sentence, refusal.headers)(scope, receive, send_guarded)
            return
        await self.app(scope, receive, send_guarded)

    def _check(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if self.local and not is_loopback(_hostname(host)):
            raise RefusalError(403, f"This page answers on this machine only, not to the name '{host}'; use 127.0.0.1.")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and _is_inner(request):
            raise RefusalError(403, "Only this page itself may ask for that, not another site.")
        if request.method not in ("GET", "HEAD"):
            origin = request.headers.get("origin")
            if (origin is not None and urlsplit(origin).netloc.lower() != host.lower()) or not request.headers.get(
                OWN_HEADER
            ):
                raise RefusalError(403, "Only this page itself may change something, not another site.")
        if _is_inner(request) and request.url.path != ENTER and not self.door.lets_in(request):
            raise RefusalError(401, "This page needs the token that 'coarse2fine app' printed when it started.")


def _is_inner(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
