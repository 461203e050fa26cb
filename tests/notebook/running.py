"""Running notebooks: a kernel of its own for each run, as Jupyter starts one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.sources import ROOT

#: A Python with the ipykernel before the one of this environment, where `make test` has made it.
OLDER = str(ROOT / ".venv-ipykernel-6" / "bin" / "python")


def run(notebook: Any, folder: Path, python: str = sys.executable, **env: str) -> Any:
    """Run all cells, in `folder`; the notebook with its outputs. Raises CellExecutionError for an error that is not allowed."""
    specs = folder / "kernels"
    (specs / "tested").mkdir(parents=True, exist_ok=True)
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (specs / "tested" / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "tested", "language": "python"})
    )
    manager = AsyncKernelManager(
        kernel_name="tested",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(specs)], ensure_native_kernel=False),
    )
    client = NotebookClient(notebook, km=manager, timeout=120, resources={"metadata": {"path": str(folder)}})
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with client.setup_kernel(env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **env}):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    return notebook


def of(cells: Sequence[str]) -> Any:
    """A notebook of these cells; those that begin with `# raises` may fail."""
    made = [
        nbformat.v4.new_code_cell(code, metadata={"tags": ["raises-exception"]} if code.startswith("# raises") else {})
        for code in cells
    ]
    return nbformat.v4.new_notebook(cells=made)


def text(cell: Any) -> str:
    """All that a cell has put out as text, streams, values and errors."""
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append("\n".join(output.traceback))
        else:
            parts.append(output.data.get("text/plain", ""))
    return "\n".join(parts)


def html(cell: Any) -> str:
    """All that a cell has put out as HTML."""
    return "\n".join(output.data.get("text/html", "") for output in cell.outputs if "data" in output)
