"""Access control of the review page: allowed hosts, origin check and authentication token.

Without it, any website in the user's browser could send requests to the page, which listens on this machine.
"""

import hashlib
import hmac
import ipaddress
import re

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coarse2fine.serving.errors import RequestError, error_response

CSRF_HEADER = "x-coarse2fine"
"""Header that every request with another method than GET or HEAD must have. A form of another site cannot set it."""

LOGIN_PATH = "/api/login"

PAGE_PATH = "/page/"
"""Path of the files of the page. They and the page itself need no token; everything else does, except the login."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")

_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class TokenAuthentication:
    """Checks the authentication token of requests.

    Args:
        token: The token; None: no authentication.
        port: Part of the name of the cookie, because browsers send cookies to all ports of a host.
    """

    def __init__(self, token: str | None, port: int) -> None:
        self.token = token
        self.cookie_name = f"coarse2fine-{port}"
        self.cookie_value = hashlib.sha256(f"coarse2fine app {token}".encode()).hexdigest()

    def is_correct(self, token: str) -> bool:
        """Compare a token in constant time."""
        return self.token is None or hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode())

    def is_authenticated(self, request: Request) -> bool:
        """Return whether a request has the cookie of the login or the header ``Authorization: Bearer <token>``."""
        if self.token is None:
            return True
        cookie = request.cookies.get(self.cookie_name, "").encode()
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        has_header = scheme.lower() == "bearer" and self.is_correct(token)
        return hmac.compare_digest(cookie, self.cookie_value.encode()) or has_header


class AccessMiddleware:
    """Rejects requests that are not allowed, and adds security headers to all responses.

    Args:
        app: The application.
        authentication: Checks the token.
        local: Whether the page listens on loopback only. Then host names of other machines are rejected, because a
            website can direct its own host name to 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, authentication: TokenAuthentication, local: bool) -> None:
        self.app, self.authentication, self.local = app, authentication, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then pass it to the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(Request(scope))
        except RequestError as error:
            await error_response(error.status, error.message, error.headers)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _check(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if self.local and not is_loopback(_host_name(host)):
            raise RequestError(
                403,
                f"The page accepts requests to 127.0.0.1 or localhost only, not to the host name '{host}'. "
                "Behind a reverse proxy, start it with --host and --token.",
            )
        if not _HOST.fullmatch(host):
            raise RequestError(400, f"The header Host must be a host name and optionally a port, but is '{host}'.")
        path = request.scope["path"]  # request.url is partly made of the header Host, which the client chooses
        is_page = path == "/" or path.startswith(PAGE_PATH)
        if not is_page and request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise RequestError(403, "Requests from another site are not allowed.")
        if request.method not in ("GET", "HEAD"):
            _check_origin(request, host)
        if not is_page and path != LOGIN_PATH and not self.authentication.is_authenticated(request):
            raise RequestError(401, "Authentication required: enter the token that 'coarse2fine app' printed.")


def _check_origin(request: Request, host: str) -> None:
    origin = request.headers.get("origin")
    if origin is not None:
        scheme, _, origin_host = origin.lower().partition("://")
        port = _DEFAULT_PORTS.get(scheme, "")  # browsers leave it out, proxies may add it
        if origin_host.removesuffix(port) != host.lower().removesuffix(port):
            raise RequestError(
                403,
                f"Changes from another site are not allowed: Origin '{origin}' and Host '{host}' differ; "
                "let the proxy pass on the header Host.",
            )
    if not request.headers.get(CSRF_HEADER):
        raise RequestError(
            403, "Changes from another site are not allowed; scripts must send the header 'X-Coarse2fine: 1'."
        )


def _host_name(host: str) -> str:
    """Return a host without its port and brackets; empty if it is malformed."""
    match = _HOST.fullmatch(host)
    return match[1].strip("[]") if match else ""
