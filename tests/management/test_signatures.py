"""What `inspect`, `help()` and editors show of the clients and handles: the signatures that callers use."""

from __future__ import annotations

import inspect
import pydoc

import pytest

import durable_ray as dr
from durable_ray.testing import TestHub

FACES = [dr.Client, dr.AsyncClient, dr.OrchestrationHandle, dr.AsyncOrchestrationHandle]


@pytest.mark.parametrize("face", FACES)
def test_no_signature_speaks_of_steps(face: type) -> None:
    methods = [(name, getattr(face, name)) for name in dir(face) if not name.startswith("_")]
    assert len([name for name, method in methods if inspect.isfunction(method)]) > 10
    for name, method in methods:
        signature = inspect.signature(method)
        assert "Steps" not in str(signature), f"{face.__name__}.{name}{signature}"
        assert (method.__doc__ or "").strip(), name
    assert "Steps[" not in pydoc.plain(pydoc.render_doc(face))


def test_class_and_instance_show_the_real_parameters(client: dr.Client, hub: TestHub) -> None:
    parameters = [
        "orchestrator",
        "input",
        "instance_id",
        "if_exists",
        "start_at",
        "tags",
        "placement",
        "version",
        "priority",
    ]
    for face, instance, answer in (
        (dr.Client, client, "OrchestrationHandle"),
        (dr.AsyncClient, hub.async_client, "AsyncOrchestrationHandle"),
    ):
        assert list(inspect.signature(face.start_new).parameters) == ["self", *parameters]
        signature = inspect.signature(instance.start_new)
        assert list(signature.parameters) == parameters
        assert signature.return_annotation == answer
    assert inspect.iscoroutinefunction(hub.async_client.start_new)
    assert not inspect.iscoroutinefunction(client.start_new)
    assert client.start_new.__name__ == "start_new"
