"""What the site does beside MkDocs: the pages at the root of the project are pages of it too.

They stay where whoever reads the sources looks for them (README.md is the first page), and their links stay those of files. A
link to a file that is no page, which the site does not have, becomes the file's path.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
#: Pages beside docs/, with their address on the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "DESIGN.md": "design.md",
    "SECURITY.md": "security.md",
}
_PLACES = {address: page for page, address in ROOT_PAGES.items()}
#: Code, in blocks or in lines, where nothing is a link; or a link with its text, target and anchor.
_CODE_OR_LINK = re.compile(
    r"^```.*?^```|`[^`\n]*`(?!\])|\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)", re.DOTALL | re.MULTILINE
)


def on_files(files: Files, config: Any) -> Files:
    """Add the root's pages."""
    for page, address in ROOT_PAGES.items():
        files.append(File.generated(config, address, abs_src_path=str(ROOT / page)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links lead to where the site has their targets."""
    return relinked(markdown, page.file.src_uri, {file.src_uri for file in files})


def relinked(markdown: str, address: str, known: set[str]) -> str:
    """The page with links between addresses of the site instead of files of the project.

    Args:
        markdown: the page's text.
        address: the page's own address on the site.
        known: all addresses of the site.
    """
    here = _PLACES.get(address, f"docs/{address}")

    def to_site(found: re.Match[str]) -> str:
        text, link, anchor = found.groups()
        if link is None:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), link))
        target = ROOT_PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        if target in known:
            return f"[{text}]({posixpath.relpath(target, posixpath.dirname(address) or '.')}{anchor or ''})"
        if (ROOT / path).exists():
            return f"`{path}`" if text.strip("`") in (path, link) else f"{text} (`{path}`)"
        return found[0]  # MkDocs says what is wrong with it

    return _CODE_OR_LINK.sub(to_site, markdown)
