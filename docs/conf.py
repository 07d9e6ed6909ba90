"""The site: the Markdown of docs/ as it is, rendered as GitHub renders it. `make docs` builds it, without a network.

docs/index.md is the only list of pages: each heading there is a group, each link below it a page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

project = "Flywheel"
author = "the Flywheel authors"
extensions = ["myst_parser"]
myst_heading_anchors = 6
nitpicky = True
html_theme = "furo"
html_title = "Flywheel operator"
html_copy_source = False

_DOCS = Path(__file__).parent
_FOLDERS = ("design", "runbooks")  # each has an index.md, to which its other pages are added
_OUTWARD = re.compile(r"\[([^\]]*)\]\((\.\./[^)\s#]*)(?:#[^)]*)?\)")


def _groups(text: str) -> str:
    """The navigation, from the list on the first page."""
    trees: list[str] = []
    for group in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        pages = "\n".join(re.findall(r"\]\(([a-z][^)#:]*)\.md\)", group))
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {group.splitlines()[0]}\n\n{pages}\n```")
    return "\n\n".join(trees)


def _read(_: Any, name: str, source: list[str]) -> None:
    """What lies outside docs/ is a file of the repository, not a page: on the site its path is said, without a link."""
    page = (_DOCS / name).parent

    def outward(link: re.Match[str]) -> str:
        path = (page / link[2]).resolve()
        if path.is_relative_to(_DOCS):
            return link[0]
        there = f"`{path.relative_to(_DOCS.parent)}`"
        return there if link[1].strip("`") in there else f"{link[1]} ({there})"

    source[0] = re.sub(
        rf"\]\(((?:\.\./)*(?:{'|'.join(_FOLDERS)}))/?\)", r"](\1/index.md)", _OUTWARD.sub(outward, source[0])
    )
    if name == "index":
        source[0] += "\n\n" + _groups(source[0])
    if name in {f"{folder}/index" for folder in _FOLDERS}:
        pages = "\n".join(sorted(path.stem for path in page.glob("*.md") if path.stem != "index"))
        source[0] += f"\n\n```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)
