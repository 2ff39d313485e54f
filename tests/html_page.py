"""HTML, parsed for tests."""

from collections import defaultdict
from html.parser import HTMLParser

VOID = {"img", "input", "meta"}


class Parsed(HTMLParser):
    """Elements by name with their attributes and text; that all are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], defaultdict(list)
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attributes):
        element = {"text": "", "inside": [e["name"] for e in self.open], "name": name}
        element |= dict(attributes)
        self.found[name].append(element)
        if name not in VOID:
            self.open.append(element)

    def handle_endtag(self, name):
        assert self.open.pop()["name"] == name

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def having(self, name, **attributes):
        return [e for e in self.found[name] if attributes.items() <= e.items()]
