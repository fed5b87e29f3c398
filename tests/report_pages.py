"""Reading the pages of reports."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects the references of a page, and checks that its elements are closed in order."""

    VOID = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"]] if given.get("id") else []
        self.targets += [given["popovertarget"]] if given.get("popovertarget") else []
        self.targets += [given["aria-labelledby"]] if given.get("aria-labelledby") else []
        self.addresses += [given[k] for k in ("href", "src") if given.get(k)]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
