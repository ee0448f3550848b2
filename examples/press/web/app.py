"""The site. It reads its pages from /content, asks its dependencies for HTML, thumbnails and colours, and serves the result.

Whatever a dependency fails at costs its own piece of the page: plain code, a picture's place, the page's source text.
"""

import os
import re
from base64 import b64encode
from html import escape
from pathlib import Path

from bottle import Bottle, HTTPError, HTTPResponse, response, static_file
from press.code.highlight import highlight
from press.image import thumbnail
from press.markdown import render
from watertight import ModuleError

CONTENT = Path("/content")

# More than this is no page and no picture of a page.
LARGEST = 8 << 20

# What a thumbnail may measure.
THUMBNAIL = {"width": 480, "height": 320}

app = Bottle()


def read(folder, name):
    """A file's bytes. Names that could lead elsewhere do not exist."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
        return None
    try:
        with open(folder / name, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError:
        return None
    return content if len(content) <= LARGEST else None


def page_source(name):
    content = read(CONTENT, name + ".md")
    return content and content.decode("utf-8", "replace")


def why(error):
    """What a visitor is told of a failure: what the dependency said, or what the manifest returns in its place."""
    return error.payload if error.kind == "error" else str(error)


def around(title, body):
    theme = escape(os.environ.get("THEME", "light"))
    return f"""<!doctype html>
<html lang="en" data-theme="{theme}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="stylesheet" href="/style.css">
<link rel="alternate" type="application/atom+xml" href="/feed.xml">
</head>
<body>
<nav><a href="/">press</a></nav>
<main>
{body}</main>
<footer>Every dependency of this page ran in a compartment of its own.</footer>
</body>
</html>
"""


def coloured(code):
    html = escape(code.text)
    if code.language:
        try:
            html = highlight(code=code.text, language=code.language)
        except ModuleError:
            pass
    return f'<pre><code class="hljs">{html}</code></pre>\n'


def small(picture):
    """The thumbnail inside the page, with a link to the whole picture; or its place, if there can be none."""
    alt, name = escape(picture.alt), picture.source.removeprefix("pictures/")
    content = read(CONTENT / "pictures", name)
    try:
        if content is None:
            raise LookupError("there is no such picture")
        jpeg = b64encode(thumbnail.make(picture=content, **THUMBNAIL)).decode()
    except (ModuleError, LookupError) as error:
        reason = why(error) if isinstance(error, ModuleError) else str(error)
        return f'<span class="picture missing" title="{escape(reason)}">no thumbnail: {alt}</span>'
    link = escape("/pictures/" + name)
    return f'<a class="picture" href="{link}"><img src="data:image/jpeg;base64,{jpeg}" alt="{alt}"></a>'


@app.get("/")
def index():
    names = sorted(path.stem for path in CONTENT.glob("*.md"))
    rows = []
    for name in names:
        heading = re.search(r"^# (.+)$", page_source(name) or "", re.MULTILINE)
        title = heading[1] if heading else name
        rows.append(f'<li><a href="/{escape(name)}">{escape(title)}</a></li>\n')
    return around("press", f'<h1>press</h1>\n<ul class="index">\n{"".join(rows)}</ul>\n')


@app.get("/style.css")
def style():
    return static_file("style.css", root=os.path.dirname(__file__))


@app.get("/pictures/<name>")
def picture(name):
    content = read(CONTENT / "pictures", name)
    if content is None:
        return HTTPError(404, "no such picture")
    response.content_type = "image/png" if name.endswith(".png") else "image/jpeg"
    return content


@app.get("/thumb/<name>")
def thumb(name):
    content = read(CONTENT / "pictures", name)
    if content is None:
        return HTTPError(404, "no such picture")
    try:
        jpeg = thumbnail.make(picture=content, **THUMBNAIL)
    except ModuleError as error:
        return HTTPResponse(f"no thumbnail of {name}: {why(error)}\n", 502, {"content-type": "text/plain; charset=utf-8"})
    response.content_type = "image/jpeg"
    return jpeg


@app.get("/<name>")
def page(name):
    source = page_source(name)
    if source is None:
        response.status = 404
        return around("not here", '<h1>There is no such page</h1>\n<p><a href="/">All pages</a></p>\n')
    try:
        made = render.render(markdown=source)
    except ModuleError as error:
        shown = f'<p class="missing">shown as it is: {escape(why(error))}</p>\n<pre>{escape(source)}</pre>\n'
        return around(name, shown)
    parts = {"html": str, "code": coloured, "picture": small}
    return around(made.title or name, "".join(parts[part.tag](part.val) for part in made.parts))
