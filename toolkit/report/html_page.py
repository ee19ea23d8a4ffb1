"""One HTML page: sentences, tables and charts, self-contained, without scripts, light and dark."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

from idskit.files.output import write_whole
from idskit.report.section import Section
from idskit.report.svg import Chart
from idskit.report.text import in_markup

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: break-word; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
p { margin: .3rem 0; } .about { opacity: .75; } ul { padding-left: 1.2rem; }
table { border-collapse: collapse; margin: .5rem 0; display: block; overflow-x: auto; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid rgba(128, 128, 128, .35);
  vertical-align: top; white-space: pre-line; }
td:first-child { min-width: 6.5rem; } .sentences td:first-child { min-width: 0; }
th { text-align: left; font-weight: 600; } .n { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.sentences td:nth-last-child(-n+2) { min-width: 16rem; }
.leak, .error { color: #b00020; font-weight: 600; } .warning { color: #8a5a00; font-weight: 600; }
.note { color: #00609a; } .ok { color: #1a7f37; }
figure { margin: 1rem 0; } svg, img { max-width: 40rem; width: 100%; height: auto; display: block; }
.key { display: inline-block; margin-right: 1.2rem; }
.key i { display: inline-block; width: 1.1rem; height: .3rem; margin: 0 .4rem .2rem 0; }
@media (prefers-color-scheme: dark) { .leak, .error { color: #ff8080; }
  .warning { color: #e3b341; } .note { color: #79c0ff; } .ok { color: #56d364; } }
@media (max-width: 40rem) {
  body { margin: 1rem auto; } svg text { font-size: 16px; }
  th, td { padding: .2rem .4rem; font-size: .85rem; }
  .sentences, .sentences tbody, .sentences tr, .sentences td { display: block; border: 0; }
  .sentences thead, .sentences td:empty { display: none; }
  .sentences tr { border-bottom: 1px solid rgba(128, 128, 128, .35); padding: .4rem 0; }
  .sentences td { padding: .1rem 0; font-size: .95rem; }
  .sentences td + td::before { content: attr(data-label) ": "; opacity: .65; }
}
"""


def save_html(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write a page; it appears under its name only when complete.

    Raises:
        IdskitError: the file cannot be written.
    """
    text = html_page(title, parts)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def html_page(title: str, parts: Iterable[str]) -> str:
    """Return a page of parts that the functions below made."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{in_markup(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}"
        "</body></html>\n"
    )


def heading(text: str, level: int = 1) -> str:
    """Return a heading."""
    return f"<h{level}>{in_markup(text)}</h{level}>"


def paragraph(text: str, *, bold: str = "", severity: str = "about") -> str:
    """Return a paragraph, which may begin with bold words."""
    start = f"<b>{in_markup(bold)}</b>: " if bold else ""
    return f"<p class={severity}>{start}{in_markup(text)}</p>"


def sentence_list(sentences: Iterable[str]) -> str:
    """Return a list of sentences; nothing for none."""
    items = "".join(f"<li>{in_markup(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def table(section: Section) -> str:
    """Return a table with its heading and caption.

    On a phone, rows of words alone become blocks with the heading of each cell before it.
    """
    rows = "".join(
        _row(section, cells, "td", section.severity(row)) for row, cells in enumerate(section.rows)
    )
    title = heading(section.title, 2) if section.title else ""
    about = paragraph(section.about) if section.about else ""
    caption = paragraph(section.caption) if section.caption else ""
    head = f"<thead>{_row(section, section.columns, 'th')}</thead>"
    kind = " class=sentences" if section.words >= len(section.columns) else ""
    return f"{title}{about}<table{kind}>{head}<tbody>{rows}</tbody></table>{caption}"


def _row(section: Section, cells: Iterable[str], tag: str, severity: str = "") -> str:
    made = (
        f"<{tag}{_attributes(section, column, severity)}>{in_markup(cell)}</{tag}>"
        for column, cell in enumerate(cells)
    )
    return f"<tr>{''.join(made)}</tr>"


def _attributes(section: Section, column: int, severity: str) -> str:
    if column == 0 and severity:
        return f" class={severity}"
    if section.words >= len(section.columns):
        return f' data-label="{in_markup(section.columns[column])}"'
    return " class=n" if column >= section.words else ""


def figure(title: str, chart: Chart, note: str = "") -> str:
    """Return a chart with its heading, its legend and a note; nothing for an empty chart."""
    if not chart:
        return ""
    keys = "".join(
        f'<span class=key><i style="background:{key.background}"></i>{in_markup(key.name)}</span>'
        for key in chart.keys
    )
    caption = f"<figcaption>{keys}{paragraph(note) if note else ''}</figcaption>"
    return f"{heading(title, 2)}<figure>{chart.svg()}{caption}</figure>"


def image(title: str, file: Path) -> str:
    """Return an SVG file as a picture within the page; nothing if there is no such file.

    As an image, whatever the file holds, no script of it runs.
    """
    if not file.is_file():
        return ""
    data = b64encode(file.read_bytes()).decode()
    return (
        f'{heading(title, 2)}<img alt="{in_markup(title)}" src="data:image/svg+xml;base64,{data}">'
    )
