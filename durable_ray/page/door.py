"""Who may see the page: a login that turns a key into a signed cookie, and the token that forms carry.

A session is a time and a nonce, signed with the key's own secret. So the cookie does not contain the key, it survives a restart
of the gateway, several gateways of one hub accept it, and it ends with its key. Nothing is stored.
"""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from durable_ray.actors.clock import SystemClock
from durable_ray.http.keys import Access, Key, Keyring
from durable_ray.http.requests import header, origin_of, segments, url_of

#: First parts of the paths that are the page's; so is the root.
_PARTS = frozenset({"login", "logout", "page"})
#: Seconds that a login lasts.
LIFETIME = 12 * 3600
#: Somebody who has not logged in, where that is allowed.
VISITOR = Key("visitor", Access.NONE, "")

#: Nothing is loaded from elsewhere, no script or style stands in a page, nobody frames it, no form leaves it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Sessions:
    """The logins that a keyring's keys have signed.

    Example:
        >>> ring = Keyring([Key("default", Access.FULL, "a-key-of-16-chars")])
        >>> sessions = Sessions(ring)
        >>> session = sessions.begin(ring.first(Access.FULL))
        >>> sessions.find(session).name, sessions.find(session + "0")
        ('default', None)
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def begin(self, key: Key) -> str:
        """A session of this key, from now on for `LIFETIME` seconds; the value of the cookie."""
        claim = f"{_now() + LIFETIME}.{secrets.token_urlsafe(12)}"
        return f"{claim}.{_sign(key, 'session', claim)}"

    def key_for(self, presented: str) -> Key | None:
        """The key that somebody typed in."""
        return self._keyring.find(presented.strip())

    def find(self, session: str) -> Key | None:
        """The key that signed a session, unless the session is over or nobody did."""
        claim, _, signature = session.rpartition(".")
        until = claim.partition(".")[0]
        if not (until.isascii() and until.isdecimal() and len(until) < 16) or int(until) < _now():
            return None
        found: Key | None = None
        for key in self._keyring.all():
            if hmac.compare_digest(_sign(key, "session", claim).encode(), signature.encode()):
                found = key
        return found

    def of(self, scope: Scope) -> Key | None:
        """The key of a request's cookie."""
        return self.find(cookie_of(scope))

    def form_token(self, scope: Scope) -> str:
        """What a form of this session carries: another site can send a form, and cannot know this."""
        session = cookie_of(scope)
        key = self.find(session)
        return "" if key is None else _sign(key, "form", session)


def cookie_name(scope: Scope) -> str:
    """The cookie of this gateway: browsers tell hosts apart, but not their ports."""
    port = header(scope, b"host").rpartition(":")[2]
    return f"durable_ray_{port}" if port.isascii() and port.isdecimal() else "durable_ray"


def cookie_of(scope: Scope) -> str:
    """The session that a request carries, or ""."""
    try:
        found = SimpleCookie(header(scope, b"cookie")).get(cookie_name(scope))
    except CookieError:
        return ""
    return found.value if found else ""


def is_page(scope: Scope) -> bool:
    """Whether a request is for the page."""
    parts = segments(scope)
    return not parts or parts[0] in _PARTS


def is_open(scope: Scope) -> bool:
    """Whether the page answers it to anybody: login and logout, and what they need."""
    parts = segments(scope)
    return parts in (["login"], ["logout"]) or parts[:2] == ["page", "static"]


def is_navigation(scope: Scope) -> bool:
    """Whether somebody follows a link to the page: nothing is changed by that, and nothing sent to the other site."""
    return (
        scope["method"] == "GET"
        and header(scope, b"sec-fetch-mode") == "navigate"
        and header(scope, b"sec-fetch-dest") == "document"
    )


def turned_away(scope: Scope) -> Response | None:
    """What a browser without a session gets: the login, and thereafter what it asked for. None: it is no browser."""
    if header(scope, b"hx-request"):
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    if "text/html" not in header(scope, b"accept"):
        return None
    if header(scope, b"sec-fetch-site") == "cross-site":
        # A strict cookie does not come along on the first step from another site; it does on the next.
        again = '<!doctype html><title>durable_ray</title><meta http-equiv="refresh" content="0">'
        return HTMLResponse(again, headers={"content-security-policy": POLICY})
    wanted = url_of(scope).removeprefix(origin_of(scope))
    return RedirectResponse(f"/login?next={quote(wanted, safe='/')}" if scope["method"] == "GET" else "/login", 303)


def local_path(wanted: str) -> str:
    """A path of this server to go on to; the root for anything else that a link to the login may name."""
    plain = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if plain else "/"


def _sign(key: Key, purpose: str, text: str) -> str:
    return hmac.new(
        key.secret.encode(), f"durable_ray page {purpose}\0{text}".encode("utf-8", "replace"), "sha256"
    ).hexdigest()


def _now() -> int:
    return SystemClock().now() // 1_000_000
