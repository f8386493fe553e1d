"""The report as one HTML file that needs nothing else: no script, no fetched style, no picture."""

from collections.abc import Iterator
from html import escape

from tidewatt_coordinator.reports.charts import DARK, LIGHT, for_page
from tidewatt_coordinator.reports.document import Chart, Document, Section, Table


def page(document: Document) -> str:
    """The whole file."""
    body = "\n".join(_body(document))
    title = escape(f"{document.title}: {document.subtitle}")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{_colours()}{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _colours() -> str:
    light = "".join(f"--{name}:{colour};" for name, colour in LIGHT.items())
    dark = "".join(f"--{name}:{colour};" for name, colour in DARK.items())
    light += "--ground:#ffffff;--card:#f4f6f9;"
    dark += "--ground:#12161c;--card:#1b212a;"
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
    )


def _body(document: Document) -> Iterator[str]:
    yield f"<header><h1>{escape(document.title)}</h1><p>{escape(document.subtitle)}</p></header>\n<main>"
    if document.tiles:
        yield '<dl class="tiles">'
        for tile in document.tiles:
            more = f'<dd class="more">{escape(tile.more)}</dd>' if tile.more else ""
            yield f"<div><dt>{escape(tile.name)}</dt><dd>{escape(tile.value)}</dd>{more}</div>"
        yield "</dl>"
    for number, section in enumerate(document.sections):
        yield from _section(section, f"s{number}")
    yield "</main>"


def _section(section: Section, name: str) -> Iterator[str]:
    yield f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(section.title)}</h2>'
    for sentence in section.text:
        yield f"<p>{escape(sentence)}</p>"
    for number, chart in enumerate(section.charts):
        yield _figure(chart, f"{name}c{number}")
    for table in section.tables:
        yield _table(table)
    if section.notes:
        yield "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in section.notes) + "</ul>"
    yield "</section>"


def _figure(chart: Chart, name: str) -> str:
    drawn = f'<div role="img" aria-label="{escape(chart.alt)}">{for_page(chart, name)}</div>'
    return f"<figure>{drawn}<figcaption>{escape(chart.title)}</figcaption></figure>"


def _table(table: Table) -> str:
    heads = "".join(
        f'<th scope="col"{_number(place, table)}>{escape(name)}</th>'
        for place, name in enumerate(table.columns)
    )
    rows = "\n".join(_row(row, table) for row in table.rows)
    foot = f"<tfoot>{_row(table.total, table)}</tfoot>" if table.total else ""
    # A wide table scrolls by itself, by keyboard, too.
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{escape(table.caption)}">'
        f"<table><caption>{escape(table.caption)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>{foot}</table></div>"
    )


def _row(row: list[str], table: Table) -> str:
    head, *cells = row
    told = "".join(
        f"<td{_number(place, table)}>{escape(cell)}</td>" for place, cell in enumerate(cells, start=1)
    )
    return f'<tr><th scope="row">{escape(head)}</th>{told}</tr>'


def _number(place: int, table: Table) -> str:
    return ' class="n"' if place >= table.words else ""


STYLE = """\
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:60rem;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.9rem;line-height:1.2;margin:0}
h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-top:.7rem;border-top:1px solid var(--line)}
header p,p{margin:.3rem 0;max-width:46rem}
header p,.more,figcaption{color:var(--muted)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.8rem;margin:1.4rem 0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}
dt{color:var(--muted);font-size:.85rem}
dd{margin:0;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}
dd.more{font-size:.82rem;font-weight:400}
figure{margin:1rem 0;break-inside:avoid}
figure svg{display:block;width:100%;height:auto;max-width:52rem;font-family:inherit}
figcaption{font-size:.85rem}
.table{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;min-width:60%}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.28rem .7rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th:first-child{padding-left:0}
tbody th{font-weight:400;overflow-wrap:anywhere;min-width:6rem}
thead th{color:var(--muted);font-weight:600;font-size:.82rem;vertical-align:bottom}
tfoot th,tfoot td{font-weight:600;border-bottom:0;border-top:2px solid var(--muted)}
.n{text-align:right;white-space:nowrap}
thead .n{white-space:normal}
ul{padding-left:1.1rem;max-width:50rem}
li{margin:.3rem 0;overflow-wrap:anywhere}
@page{margin:16mm 15mm}
@media print{
body{max-width:none;padding:0;font-size:10pt;background:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
h2{break-after:avoid;margin-top:1.6rem}
tr,li,.tiles div{break-inside:avoid}
thead{display:table-header-group}
tfoot{display:table-row-group}
.table{overflow:visible}
caption{break-after:avoid}
table{font-size:8.5pt}
.tiles{grid-template-columns:repeat(3,1fr)}
}
"""
