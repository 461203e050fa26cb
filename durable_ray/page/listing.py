"""The list of instances: what matches the filter in the URL, how many of each status, and when they were created."""

from __future__ import annotations

import asyncio
from time import perf_counter

from starlette.responses import Response

from durable_ray.http.api.models import InstanceList
from durable_ray.http.api.overview import CreatedHistogram
from durable_ray.page.api_client import ApiRefused
from durable_ray.page.filters import COLUMNS, COLUMNS_COOKIE, STATUSES, ListFilter
from durable_ray.page.histogram import histogram_svg
from durable_ray.page.visits import Visit

#: Bars of the histogram.
BINS = 60
#: A page that is open asks for news so often (seconds), and never spends more than this part of the time on them.
_EVERY, _SHARE = 3.0, 0.2

#: Views that everybody has, with the filter of each.
VIEWS = (
    ("All", "/"),
    ("Failed, 24 hours", "/?status=Failed&within=24h"),
    ("No turn for an hour", "/?status=Running&idle=1h"),
    ("Suspended", "/?status=Suspended"),
)
_NONE = CreatedHistogram(start=None, end=None, bin_seconds=0, total=0, by_status={}, bins=[])


async def show(visit: Visit) -> Response:
    """The list."""
    began = perf_counter()
    filters = ListFilter.of(visit.request.query_params.multi_items())
    page, found, refused = InstanceList(instances=[], continuation_token=None), _NONE, None
    try:
        asked = filters.asked(visit.now)
        order = [("descending", "true")] if filters.descending else []
        of_all = [(name, value) for name, value in asked if name != "status"]
        page, found, by_status = await asyncio.gather(
            visit.api.instances([*asked, *order], filters.limit, filters.get("token") or None),
            visit.api.histogram(asked, BINS),
            visit.api.histogram(of_all, 1),
        )
        counts = by_status.by_status
    except ApiRefused as error:
        refused, counts = error, {}
    counted = await visit.api.counts()
    return visit.render(
        "list.html",
        400 if refused else 200,
        filters=filters,
        page=page,
        found=found,
        counts=counts,
        statuses=STATUSES,
        chart=histogram_svg(found, BINS, filters),
        names=sorted({each.name for each in counted.by_name}),
        columns=filters.columns(visit.request.cookies.get(COLUMNS_COOKIE, "")),
        all_columns=COLUMNS,
        views=VIEWS,
        refused=refused,
        every=round(max(_EVERY, (perf_counter() - began) / _SHARE)),
    )
