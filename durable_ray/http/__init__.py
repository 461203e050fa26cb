"""The HTTP gateway: Durable Functions' management API, starters, and typed resources under `/api/v1`.

Needs the extra `http`: ``pip install "durable-ray[http]"``.
"""

from __future__ import annotations
