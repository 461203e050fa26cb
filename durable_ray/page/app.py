"""The page as an ASGI app: its routes, and what holds for all of them (session, form token, errors)."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from durable_ray.http.keys import Key, Keyring
from durable_ray.http.requests import body_of
from durable_ray.http.settings import GatewaySettings
from durable_ray.orchestrations.values.payloads import PayloadTooLarge
from durable_ray.page import instance, listing, login
from durable_ray.page.api_client import ApiRefused, ApiTransport
from durable_ray.page.door import VISITOR, Sessions
from durable_ray.page.rendering import STATIC, static
from durable_ray.page.visits import Form, Handler, Visit, problem_page

log = logging.getLogger("durable_ray.http")

#: What somebody may send who has not logged in.
_LOGIN_BYTES = 10_000
_ROUTES: Mapping[str, tuple[str, Handler]] = {
    "/": ("GET", listing.show),
    "/login": ("GET", login.show),
    "/page/instances/{instance_id}": ("GET", instance.show),
    "/page/instances/{instance_id}/history": ("GET", instance.history),
    "/page/instances/{instance_id}/history.json": ("GET", instance.download),
}
_FORMS: Mapping[str, Handler] = {"/login": login.enter, "/logout": login.leave}


def page_app(api: ASGIApp, keyring: Keyring, settings: GatewaySettings) -> ASGIApp:
    """The page.

    Args:
        api: the gateway's API with its guard before it, below `/api/v1`; everything that is shown or done goes that way.
        keyring: whose keys may log in.
        settings: the limit on a form's size.

    Returns:
        An ASGI app for the paths of `door.is_page`, to stand behind the gateway's guard.
    """
    pages = _Pages(ApiTransport(api), Sessions(keyring), settings)
    routes = [Route(path, pages.answer(handler), methods=[method]) for path, (method, handler) in _ROUTES.items()]
    routes += [Route(path, pages.answer(handler), methods=["POST"]) for path, handler in _FORMS.items()]
    routes.append(Route("/page/static/{name:path}", _static, methods=["GET"]))
    return Router(routes, redirect_slashes=False, default=pages.answer_missing)


class _Pages:
    """Makes a visit of each request, and a page of each error."""

    def __init__(self, api: ApiTransport, sessions: Sessions, settings: GatewaySettings) -> None:
        self._api = api
        self._sessions = sessions
        self._settings = settings

    def answer(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A route of what `handler` makes of a visit."""

        async def respond(request: Request) -> Response:
            visit = self._visit(request, Form())
            try:
                if request.method == "POST":
                    visit = self._visit(request, Form.read(await self._body(request, visit.key)))
                    self._check(visit)
                return await handler(visit)
            except ClientDisconnect:
                raise
            except ApiRefused as error:
                return problem_page(visit, error)
            except PayloadTooLarge as error:
                return problem_page(visit, ApiRefused(413, "Too large", str(error)))
            except Exception as error:
                log.error("a page failed", exc_info=error)
                detail = f"{type(error).__name__}; the gateway's log has the details"
                return problem_page(visit, ApiRefused(500, "Something went wrong", detail))

        return respond

    async def answer_missing(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing is there."""

        async def missing(visit: Visit) -> Response:
            raise ApiRefused(404, "No such page", "nothing is at this address")

        response = await self.answer(missing)(Request(scope, receive))
        await response(scope, receive, send)

    def _visit(self, request: Request, form: Form) -> Visit:
        key: Key = request.state.key
        given = self._sessions.form_token(request.scope)
        return Visit(request, self._api.with_key(key), key, given, form, self._sessions)

    async def _body(self, request: Request, key: Key) -> bytes:
        return await body_of(request, _LOGIN_BYTES if key is VISITOR else self._settings.max_body_bytes)

    def _check(self, visit: Visit) -> None:
        """A form comes from a page of this session. The guard has compared its origin; this is where none is sent."""
        if visit.key is VISITOR or visit.request.url.path == "/login":
            return
        if not hmac.compare_digest(visit.form.text("form_token").encode(), visit.form_token.encode()):
            raise ApiRefused(403, "The form is out of date", "load the page again, and send it from there")


async def _static(request: Request) -> Response:
    name = str(request.path_params["name"])
    if name not in STATIC:
        return Response(status_code=404)
    kept = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(static(name), headers=kept, media_type=STATIC[name])
