"""One request to the page: who asks, what the form says, and how the answer is rendered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from durable_ray.actors.clock import SystemClock
from durable_ray.actors.instances.status import moment
from durable_ray.http.keys import Access, Key
from durable_ray.http.requests import origin_of, url_of
from durable_ray.page.api_client import ApiClient, ApiRefused
from durable_ray.page.door import POLICY, Sessions
from durable_ray.page.rendering import environment

_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    # With "no-referrer" browsers send their forms with `Origin: null`, which says nothing.
    "referrer-policy": "same-origin",
}
#: Fields of a form: the instances of a page that are selected, and a few more.
_MOST_FIELDS = 2000


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form that was sent."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, body: bytes) -> Form:
        """Of a body in `application/x-www-form-urlencoded`. Raises ApiRefused."""
        try:
            return cls(tuple(parse_qsl(body.decode(), True, max_num_fields=_MOST_FIELDS, errors="strict")))
        except ValueError as error:
            raise ApiRefused(400, "The form cannot be read", f"{type(error).__name__}") from None

    def text(self, name: str) -> str:
        """The field of that name, or ""."""
        return next((value for key, value in self.pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        """All fields of that name."""
        return [value for key, value in self.pairs if key == name]

    def flag(self, name: str) -> bool:
        """Whether a box is checked."""
        return bool(self.text(name))


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, with the API as the visitor's key may use it."""

    request: Request
    api: ApiClient
    key: Key
    form_token: str
    form: Form
    sessions: Sessions

    @property
    def may_act(self) -> bool:
        """Whether the key may change something."""
        return self.key.access >= Access.FULL

    @property
    def now(self) -> datetime:
        """The gateway's time."""
        return moment(SystemClock().now())

    @property
    def url(self) -> str:
        """Path and query of this request, as the browser wrote them."""
        return url_of(self.request.scope).removeprefix(origin_of(self.request.scope))

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def render(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A page of this template."""
        page = environment().get_template(template)
        shown = page.render(visit=self, now=self.now, form_token=self.form_token, may_act=self.may_act, **context)
        # Half a surrogate pair, which JSON's escapes can say, is no character of UTF-8.
        return HTMLResponse(shown.encode("utf-8", "replace"), status, _HEADERS)


Handler = Callable[[Visit], Awaitable[Response]]


def go_to(url: str) -> Response:
    """Where a browser goes on after a form."""
    return RedirectResponse(url, 303)


def problem_page(visit: Visit, error: ApiRefused) -> Response:
    """The page that says why something was refused."""
    return visit.render("problem.html", error.status, error=error)
