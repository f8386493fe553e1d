"""Charts as SVG, drawn by matplotlib: an optional dependency, tidewatt-coordinator[reports]."""

import io
import re
from collections.abc import Mapping
from typing import Any

from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.reports.document import Chart

#: A stack has five colours at the most. Told apart in black and white, too, and by the colour-blind
#: (Okabe and Ito's, darkened or lightened for their ground).
LIGHT = {
    "ink": "#1c2430", "muted": "#596273", "line": "#d5dae2",
    "c0": "#0b63a5", "c1": "#d08a00", "c2": "#00795b", "c3": "#a8326e", "c4": "#8892a3",
}  # fmt: skip
DARK = {
    "ink": "#e6eaf0", "muted": "#a0aaba", "line": "#39424f",
    "c0": "#5cb3f0", "c1": "#f0b440", "c2": "#3fc79f", "c3": "#e583b5", "c4": "#7d889a",
}  # fmt: skip
#: What stands for a colour in the SVG until the page's own takes its place.
STAND_INS = {name: f"#0a0b{place:02x}" for place, name in enumerate(LIGHT)}
#: Labels of days are thinned where there are more bars than this.
MOST_LABELS = 16
LONGEST_LABEL = 34
#: Opacity of a bar that is not whole.
PART = 0.45
WIDTH_IN, HEIGHT_IN, ROW_IN = 7.2, 2.7, 0.26


def for_page(chart: Chart, prefix: str) -> str:
    """An <svg> in the page's colours (var(--ink), var(--c0)...), its letters those of the page.

    `prefix` makes its ids differ from those of the page's other charts.
    """
    drawn = _drawn(chart, STAND_INS, letters="none")
    for name, colour in STAND_INS.items():
        drawn = drawn.replace(colour, f"var(--{name})")
    drawn = re.sub(r'\bid="', f'id="{prefix}-', drawn)
    drawn = drawn.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')
    # The figure that it stands in says what it shows.
    return drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def for_print(chart: Chart) -> bytes:
    """An <svg> in colours for paper, its letters drawn as shapes."""
    return _drawn(chart, LIGHT, letters="path").encode()


def shape(chart: Chart) -> tuple[float, float]:
    """Width and height, inches."""
    return WIDTH_IN, (0.5 + ROW_IN * len(chart.labels)) if chart.lying else HEIGHT_IN


def _drawn(chart: Chart, colours: Mapping[str, str], letters: str) -> str:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - optional, and other commands start fast
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CostError("charts can't be drawn: install tidewatt-coordinator[reports]") from error
    settings: dict[Any, Any] = {
        "svg.fonttype": letters,
        "svg.hashsalt": "tidewatt",
        "font.size": 9,
        "font.family": ["DejaVu Sans"],
        "text.color": colours["ink"],
        "axes.labelcolor": colours["muted"],
        "xtick.color": colours["muted"],
        "ytick.color": colours["muted"],
        "axes.edgecolor": colours["line"],
        "text.parse_math": False,  # a name with two dollar signs is no formula
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=shape(chart), layout="constrained")
        axes = figure.add_subplot()
        (_lying if chart.lying else _standing)(axes, chart, colours)
        axes.spines[["top", "right", "left" if not chart.lying else "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        if len(chart.series) > 1:
            figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
        out = io.BytesIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue().decode()
    svg = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # The page's own letters, whatever machine it is read on.
    return svg.replace("'DejaVu Sans', ", "").replace("'DejaVu Sans'", "sans-serif")


def _standing(axes: Any, chart: Chart, colours: Mapping[str, str]) -> None:
    places = range(len(chart.labels))
    up, down = [0.0] * len(chart.labels), [0.0] * len(chart.labels)
    for number, series in enumerate(chart.series):
        base = [up[at] if value >= 0 else down[at] for at, value in enumerate(series.values)]
        bars = axes.bar(
            places,
            series.values,
            0.74,
            bottom=base,
            color=colours[f"c{number % 5}"],
            label=_short(series.name),
        )
        for at, value in enumerate(series.values):
            (up if value >= 0 else down)[at] += value
            if chart.labels[at] == chart.aside:
                bars[at].set_alpha(PART)
    step = -(-len(chart.labels) // MOST_LABELS)
    axes.set_xticks(list(places)[::step], chart.labels[::step])
    axes.set_xlim(-0.6, len(chart.labels) - 0.4)
    axes.yaxis.set_major_formatter(_amount)
    axes.yaxis.grid(visible=True, color=colours["line"], linewidth=0.7)


def _lying(axes: Any, chart: Chart, colours: Mapping[str, str]) -> None:
    values = chart.series[0].values
    places = range(len(values))
    axes.barh(places, values, 0.7, color=colours["c0"])
    axes.set_yticks(places, [_short(label) for label in chart.labels])
    axes.tick_params(axis="y", labelcolor=colours["ink"])
    axes.invert_yaxis()
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(_amount)
    axes.xaxis.grid(visible=True, color=colours["line"], linewidth=0.7)


def _amount(value: float, _place: int) -> str:
    return f"{value:,.10g}"


def _short(label: str) -> str:
    plain = " ".join(label.split()).lstrip("_")  # a legend leaves names out that begin so
    return plain if len(plain) <= LONGEST_LABEL else f"{plain[: LONGEST_LABEL - 1]}…"
