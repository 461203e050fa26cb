"""HTTP answers as the client makes them: what a web framework sends, and what code written for Azure's `HttpResponse` reads."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from durable_ray.client.operations.gateway import HttpAnswer


@dataclass(frozen=True)
class Answer(HttpAnswer):
    """An answer with `get_body()`; to azure-functions, where that is imported, it is one of its responses."""

    mimetype = "application/json"
    charset = "utf-8"

    @classmethod
    def of(cls, answer: HttpAnswer) -> Answer:
        """The same answer."""
        functions: Any = sys.modules.get("azure.functions")
        if functions is not None:
            functions.HttpResponse.register(cls)
        return cls(answer.status_code, answer.body, {"Content-Type": cls.mimetype, **answer.headers})

    def get_body(self) -> bytes:
        """The body as it is sent: text as it is, everything else as JSON."""
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()
