"""The report as PDF, by fpdf2 with the letters that matplotlib brings: tidewatt-coordinator[reports]."""

import io
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.reports.charts import LIGHT, for_print, shape
from tidewatt_coordinator.reports.document import Chart, Document, Section, Table, Tile

FONT = "DejaVu"
FILES = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
#: Points.
TITLE, HEADING, TEXT, SMALL = 20, 13, 9.5, 8
#: Millimetres.
MARGIN, LINE, ROW, GAP, MM_PER_IN = 16.0, 4.8, 4.6, 3.0, 25.4
#: Rows of a table that is not broken.
LONGEST_WHOLE = 16
#: Letters of a heading that get room on one line.
LONGEST_HEAD = 16
TILES_IN_A_ROW = 3
#: Of a wide table's column, the narrowest and widest share that its text is given.
NARROW, WIDE = 5, 34
MM_PER_LETTER = 2.0


def pages(document: Document, made_ms: int) -> bytes:
    """The file. A4; it fits Letter, whose printable part is as wide."""
    pdf = _blank(document, made_ms)
    _heading(pdf, document.title, TITLE)
    _colour(pdf, "muted")
    _sentence(pdf, document.subtitle, TEXT)
    _colour(pdf, "ink")
    _tiles(pdf, document.tiles)
    for section in document.sections:
        _section(pdf, section)
    return bytes(pdf.output())


def _blank(document: Document, made_ms: int) -> Any:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - optional
        from fpdf import FPDF  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CostError("PDF can't be written: install tidewatt-coordinator[reports]") from error

    class Paper(FPDF):
        """Every page with its number."""

        def footer(self) -> None:
            self.set_y(-MARGIN + 4)
            self.set_font(FONT, size=SMALL)
            _colour(self, "muted")
            self.cell(0, 5, document.title)
            self.cell(0, 5, f"{self.page_no()} of {{nb}}", align="R")
            _colour(self, "ink")

    pdf = Paper(format="A4")
    pdf.set_margins(MARGIN, MARGIN)
    pdf.set_auto_page_break(auto=True, margin=MARGIN + 4)
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for style, file in FILES.items():
        pdf.add_font(FONT, style, folder / file)
    pdf.set_title(f"{document.title}: {document.subtitle}")
    pdf.set_lang("en")
    pdf.set_creation_date(datetime.fromtimestamp(made_ms / 1000, timezone.utc))
    pdf.add_page()
    pdf.set_font(FONT, size=TEXT)
    _colour(pdf, "ink")
    return pdf


def _section(pdf: Any, section: Section) -> None:
    # A heading stands with what it is about.
    first = _height(pdf, section.charts[0]) if section.charts else 0.0
    if section.tables and not section.charts:
        first = _whole(section.tables[0])
    _room(pdf, 22 + first + LINE * len(section.text))
    pdf.ln(GAP)
    pdf.start_section(section.title)
    _heading(pdf, section.title, HEADING)
    for sentence in section.text:
        _sentence(pdf, sentence, TEXT)
    for chart in section.charts:
        _chart(pdf, chart)
    for table in section.tables:
        _table(pdf, table)
    for note in section.notes:
        pdf.set_x(MARGIN)
        pdf.cell(4, LINE, "•")
        _sentence(pdf, note, TEXT, indent=4)


def _tiles(pdf: Any, tiles: list[Tile]) -> None:
    pdf.ln(GAP)
    width, height = pdf.epw / TILES_IN_A_ROW, 19.0
    top = pdf.get_y()
    for number, tile in enumerate(tiles):
        x = MARGIN + width * (number % TILES_IN_A_ROW)
        y = top + height * (number // TILES_IN_A_ROW)
        for text, size, style, colour, down in (
            (tile.name, SMALL, "", "muted", 0.0),
            (tile.value, HEADING, "B", "ink", 4.2),
            (tile.more, SMALL - 1, "", "muted", 10.2),
        ):
            pdf.set_xy(x, y + down)
            pdf.set_font(FONT, style, size)
            _colour(pdf, colour)
            pdf.multi_cell(width - 3, 3.6 if style == "" else 5.6, text, align="L")
    _colour(pdf, "ink")
    pdf.set_xy(MARGIN, top + height * -(-len(tiles) // TILES_IN_A_ROW))


def _chart(pdf: Any, chart: Chart) -> None:
    width, height = min(pdf.epw, shape(chart)[0] * MM_PER_IN), _height(pdf, chart)
    _room(pdf, height + LINE + GAP)
    pdf.ln(GAP)
    pdf.image(io.BytesIO(for_print(chart)), x=MARGIN, w=width, h=height, alt_text=chart.alt)
    pdf.set_font(FONT, size=SMALL)
    _colour(pdf, "muted")
    pdf.cell(0, LINE, chart.title, new_x="LMARGIN", new_y="NEXT")
    _colour(pdf, "ink")


def _height(pdf: Any, chart: Chart) -> float:
    wide, high = shape(chart)
    return float(min(pdf.epw, wide * MM_PER_IN) * high / wide)


def _table(pdf: Any, table: Table) -> None:
    from fpdf.fonts import FontFace  # noqa: PLC0415 - optional

    _room(pdf, _whole(table))
    pdf.ln(GAP)
    pdf.set_font(FONT, "B", SMALL + 0.5)
    pdf.multi_cell(0, LINE, table.caption, new_x="LMARGIN", new_y="NEXT", align="L")
    pdf.set_font(FONT, size=SMALL)
    pdf.set_draw_color(LIGHT["line"])
    aligns = ["LEFT" if place < table.words else "RIGHT" for place in range(len(table.columns))]
    widths = _widths(table)
    with pdf.table(
        col_widths=widths,
        width=min(pdf.epw, MM_PER_LETTER * sum(widths)),
        text_align=tuple(aligns),
        borders_layout="HORIZONTAL_LINES",
        headings_style=FontFace(emphasis="", color=LIGHT["muted"]),
        line_height=LINE - 0.9,
        padding=0.35,
        align="LEFT",
    ) as drawn:
        for cells in (table.columns, *table.rows):
            drawn.row(cells)
        if table.total:
            drawn.row(table.total, style=FontFace(emphasis="B"))
    pdf.ln(GAP / 2)


def _whole(table: Table) -> float:
    """The room that a table needs; a long one may be broken over pages."""
    return ROW * (min(len(table.rows), 3 if len(table.rows) > LONGEST_WHOLE else LONGEST_WHOLE) + 4)


def _widths(table: Table) -> tuple[int, ...]:
    """In proportion to the longest text of each column; a heading may be broken between words."""
    lines = [*table.rows, *([table.total] if table.total else [])]
    heads = [max(min(LONGEST_HEAD, len(name)), *map(len, name.split() or [""])) for name in table.columns]
    longest = [max([head, *(len(line[place]) for line in lines)]) for place, head in enumerate(heads)]
    return tuple(min(WIDE, max(NARROW, one)) + 2 for one in longest)


def _heading(pdf: Any, text: str, size: float) -> None:
    pdf.set_font(FONT, "B", size)
    pdf.multi_cell(0, size * 0.5, text, new_x="LMARGIN", new_y="NEXT", align="L")


def _sentence(pdf: Any, text: str, size: float, indent: float = 0) -> None:
    pdf.set_font(FONT, size=size)
    pdf.set_x(MARGIN + indent)
    pdf.multi_cell(0, LINE, text, new_x="LMARGIN", new_y="NEXT", align="L")


def _room(pdf: Any, height: float) -> None:
    """A new page unless so many millimetres are left on this one."""
    if pdf.get_y() + height > pdf.page_break_trigger:
        pdf.add_page()


def _colour(pdf: Any, name: str) -> None:
    red, green, blue = (int(LIGHT[name][place : place + 2], 16) for place in (1, 3, 5))
    pdf.set_text_color(red, green, blue)
