"""A failure of code that travels by value shows its file, its line and that line's text, where the file is not."""

from __future__ import annotations

import linecache
import subprocess
import sys
import textwrap
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from durable_ray.actors.code import sources
from durable_ray.actors.code.sources import with_lines
from durable_ray.orchestrations.values.failures import FailureDetails

SCRIPT = """
    import sys
    import durable_ray as dr
    from durable_ray.actors.code.packing import pack

    SECRET = "not part of the function"

    def inner(n):
        return [1 / each for each in range(n)]

    @dr.activity
    def pay(n):
        return inner(n)

    if __name__ == "__main__":
        sys.stdout.buffer.write(pack(pay).body)
"""
RUN = """
    import sys
    from durable_ray.actors.code.pickling import loads
    from durable_ray.orchestrations.values.failures import FailureDetails

    body = sys.stdin.buffer.read()
    try:
        loads(body.partition(b"\\n")[2])(3)
    except ZeroDivisionError as error:
        details = FailureDetails.of(error)
        print(details.origin)
        print(details.stack_trace)
"""


def test_a_script_that_is_gone_is_quoted(tmp_path: Path) -> None:
    script = tmp_path / "flow.py"
    script.write_text(textwrap.dedent(SCRIPT))
    body = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, check=True).stdout
    script.unlink()
    assert b"not part of the function" not in body
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(RUN)], input=body, stdout=subprocess.PIPE, check=True)
    origin, trace = ran.stdout.decode().split("\n", 1)
    assert origin.startswith(f'File "{script}", line 9, in ')
    assert origin.endswith(": return [1 / each for each in range(n)]")
    assert f'File "{script}", line 13, in pay\n    return inner(n)' in trace
    assert "dynamic-code" not in trace
    assert "definitions.py" not in trace  # what called it here is our own


def compiled(text: str, file: str) -> FunctionType:
    """A function `f` of such a file, as a process makes it that loads it from the store."""
    found: dict[str, Any] = {}
    exec(compile(text, file, "exec"), found)
    function: FunctionType = found["f"]
    function.__code__ = with_lines(function.__code__, file, 0, text)
    return function


def failure(function: FunctionType) -> FailureDetails:
    with pytest.raises(ValueError, match=r"\d") as caught:
        function()
    return FailureDetails.of(caught.value)


def test_two_versions_of_a_file_each_show_their_own_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_entered", {})
    first, second = (compiled(f"def f():\n    raise ValueError({n})\n", "/gone/a.py") for n in (1, 2))
    assert failure(first).origin == 'File "/gone/a.py", line 2, in f: raise ValueError(1)'
    assert failure(second).origin.endswith("line 2, in f: raise ValueError(2)")
    assert failure(second).origin.startswith('File "/gone/a.py (')


def test_a_file_that_has_changed_is_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "b.py"
    file.write_text("def f():\n    something_else()\n")
    assert failure(compiled("def f():\n    raise ValueError(1)\n", str(file))).origin.endswith(": raise ValueError(1)")


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_entered", {})
    monkeypatch.setattr(sources, "MOST_FILES", 2)
    for number in range(4):
        compiled("def f():\n    raise ValueError(1)\n", f"/gone/{number}.py")
    assert list(sources._entered) == ["/gone/2.py", "/gone/3.py"]
    assert "/gone/0.py" not in linecache.cache
