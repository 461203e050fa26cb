"""Login and logout: a key is typed in once, and a cookie that it signed stands for it from then on."""

from __future__ import annotations

from starlette.responses import Response

from durable_ray.http.requests import header
from durable_ray.page.door import LIFETIME, cookie_name, local_path
from durable_ray.page.visits import Visit, go_to


async def show(visit: Visit) -> Response:
    """The form."""
    return visit.render("login.html", next=local_path(visit.request.query_params.get("next", "/")), refused=False)


async def enter(visit: Visit) -> Response:
    """A session for a key that is right."""
    wanted = local_path(visit.form.text("next"))
    key = visit.sessions.key_for(visit.form.text("key"))
    if key is None:
        return visit.render("login.html", 401, next=wanted, refused=True)
    response = go_to(wanted)
    scope = visit.request.scope
    response.set_cookie(
        cookie_name(scope),
        visit.sessions.begin(key),
        max_age=LIFETIME,
        path="/",
        httponly=True,
        samesite="strict",
        # Behind a proxy with TLS the gateway is reached by plain HTTP; the browser says what it sees.
        secure="https" in (scope.get("scheme"), header(scope, b"origin").partition(":")[0]),
    )
    return response


async def leave(visit: Visit) -> Response:
    """The end of a session in this browser."""
    response = go_to("/login")
    response.delete_cookie(cookie_name(visit.request.scope), path="/", httponly=True, samesite="strict")
    return response
