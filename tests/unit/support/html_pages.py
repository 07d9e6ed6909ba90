"""What a browser would see of a page: its elements, its tables by caption, and all of its text."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "line", "circle", "path", "rect"}


class Seen(HTMLParser):
    """A page that was read."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: list[str] = []
        self.open: list[str] = []
        self._caption, self._cell = "", ""
        self.feed(page.decode())
        self.close()
        assert self.open == [], "every element is closed"

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        if tag in ("td", "th"):
            self._cell = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.tables[self._caption][-1].append(self._cell)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)
        if "caption" in self.open:
            self._caption += data
        self._cell += data

    def rows(self, caption: str) -> list[list[str]]:
        """The rows of the one table whose caption begins so, without its head."""
        (found,) = [rows for name, rows in self.tables.items() if name.startswith(caption)]
        return found[1:]
