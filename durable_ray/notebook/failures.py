"""A failure for its reader: what was raised and at which line of theirs, then the causes, then the traceback to unfold."""

from __future__ import annotations

import re
from typing import NamedTuple

from durable_ray.notebook.markup import MAX_TRACE, box, folded, text, title
from durable_ray.orchestrations.values.failures import FailureDetails

#: Causes that are shown; a longer chain is in the traceback.
_CAUSES = 5
_FRAME = re.compile(r'^ *File "(?P<file>[^"]*)", line (?P<line>\d+), in (?P<function>.+)$')
#: Frames of this product and of what it stands on: not where the reader has to look.
_OURS = re.compile(r"[/\\](?:durable_ray|site-packages|dist-packages|asyncio|concurrent)[/\\]|^<frozen ")


class Frame(NamedTuple):
    """A line of a traceback: where, in which function, and its text where it is known."""

    file: str
    line: int
    function: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}{f': {self.source}' if self.source else ''}"


def users_frames(stack_trace: str) -> list[Frame]:
    """The frames of the user's own code, the innermost first; all frames, if none of them is the user's.

    Example:
        >>> users_frames('  File "job.py", line 3, in pay' + chr(10) + '    raise ValueError("no")')[0].line
        3
    """
    found: list[Frame] = []
    for line in stack_trace.splitlines():
        match = _FRAME.match(line)
        if match is not None:
            found.append(Frame(match["file"], int(match["line"]), match["function"]))
        elif found and not found[-1].source and line.startswith("    ") and set(line.strip()) - set("~^"):
            found[-1] = found[-1]._replace(source=line.strip())
    found.reverse()
    return [frame for frame in found if not _OURS.search(frame.file)] or found


def failure_html(failure: FailureDetails) -> str:
    """A failure as HTML."""
    links = list(failure.walk())
    deepest = next((frames for link in reversed(links) if (frames := users_frames(link.stack_trace))), [])
    parts = [title(f'<b style="color:#d63a3a">{text(failure)}</b>')]
    if deepest:
        parts.append(f"<div><code>{text(deepest[0])}</code></div>")
    for cause in links[1 : 1 + _CAUSES]:
        parts.append(f"<div>caused by {text(cause)}</div>")
    if len(links) > 1 + _CAUSES:
        parts.append(f"<div>… and {len(links) - 1 - _CAUSES} more</div>")
    traces = [link.stack_trace.rstrip() for link in reversed(links) if link.stack_trace]
    if traces:
        whole = text("\n\n".join(traces), MAX_TRACE)
        parts.append(folded("traceback", f'<pre style="font-size:85%">{whole}</pre>'))
    return box(*parts)
