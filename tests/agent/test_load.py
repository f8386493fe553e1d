"""The application's load, from its own metrics page; unknown is never zero."""

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_agent.config import Load as LoadConfig
from tidewatt_agent.load.endpoint import Endpoint
from tidewatt_agent.load.pages import KNOWN, Exposition, parse_stub_status
from tidewatt_agent.load.reading import Reading, Unreadable, load_between, together
from tidewatt_governor.sample import Load

PAGE = """\
# TYPE akidb_requests_total counter
akidb_requests_total{cluster="jetson",code="200"} 100
akidb_requests_total{cluster="jetson",code="503"} 5
akidb_requests_total{cluster="cloud",code="200"} 1000
akidb_requests_total_created 7
# TYPE akidb_request_seconds histogram
akidb_request_seconds_bucket{cluster="jetson",le="0.01"} 50
akidb_request_seconds_bucket{cluster="jetson",le="0.02"} 100
akidb_request_seconds_bucket{cluster="jetson",le="+Inf"} 105
other_metric 3
"""


def one(requests: float, *buckets: tuple[float, float]) -> Reading:
    """A reading of an application with a single series."""
    return Reading({"r": requests}, {str(bound): (bound, count) for bound, count in buckets})


def total(reading: Reading) -> float:
    return sum(reading.requests.values())


def test_matching_series_are_taken() -> None:
    reading = Exposition("akidb_requests_total", "akidb_request_seconds", {"cluster": "jetson"}).read(PAGE)
    assert total(reading) == 105.0
    assert sorted(reading.buckets.values()) == [(0.01, 50.0), (0.02, 100.0), (float("inf"), 105.0)]
    assert total(Exposition("akidb_requests_total").read(PAGE)) == 1105.0


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("r_total\t12345", 12345.0),
        ('r_total{a="1"} 5 # {trace_id="x"} 0.5', 5.0),
        ('r_total{a="1"} 5 1700000000000', 5.0),
        ('r_total{a="}",b="q\\"}"}  7', 7.0),
        ("r_total 1e3", 1000.0),
    ],
)
def test_every_way_to_write_a_sample(line: str, value: float) -> None:
    exposition = Exposition("r_total")
    assert total(exposition.read(line + "\n")) == value
    assert total(exposition.read(line + "\n")) == value, "of a series that is known, too"


@pytest.mark.parametrize("after", ["", " 1700000000000", "\t1700000000000", " ", ' # {trace_id="x"} 0.5'])
def test_a_page_is_read_again_as_it_was_read_first(after: str) -> None:
    exposition = Exposition("r_total", "h")
    page = f'r_total{{a="b c"}} 5{after}\nr_total{{a="d"}} 7{after}\nh_bucket{{le="1"}} 3{after}\n'
    first = exposition.read(page)
    assert (total(first), first.buckets['h_bucket{le="1"}']) == (12.0, (1.0, 3.0))
    for _ in range(3):
        assert exposition.read(page) == first
    assert total(exposition.read(page.replace(" 5", " 6"))) == 13.0


def test_series_restart_and_vanish_each_on_its_own() -> None:
    before = Reading({"a": 100_000.0, "b": 50_000.0})
    assert load_between(before, Reading({"a": 100_010.0}), 1.0).requests == 10, "b is gone, not restarted"
    assert load_between(before, Reading({"a": 100_100.0, "b": 5.0}), 1.0).requests == 105, "b restarted"
    assert load_between(before, Reading({**before.requests, "c": 3.0}), 1.0).requests == 3, "c is new"


@pytest.mark.parametrize(
    "page", ["", "<html>", "akidb_requests_total{", "akidb_requests_total NaN\n", "x 1\n"]
)
def test_a_page_without_the_counter_says_so(page: str) -> None:
    with pytest.raises(Unreadable, match="akidb_requests_total|exposition"):
        Exposition("akidb_requests_total").read(page)


@given(st.text(max_size=200), st.booleans())
@settings(max_examples=300)
def test_any_page_is_read_or_refused(page: str, named: bool) -> None:
    text = f"akidb_requests_total{page}" if named else page
    with contextlib.suppress(Unreadable):
        assert total(Exposition("akidb_requests_total", "h").read(text)) >= 0


def test_differences() -> None:
    before = one(100.0, (0.01, 0.0), (0.02, 0.0), (float("inf"), 0.0))
    after = one(200.0, (0.01, 90.0), (0.02, 100.0), (float("inf"), 100.0))
    load = load_between(before, after, 10.0)
    assert (load.requests, load.rps) == (100, 10.0)
    assert load.p95_ms == pytest.approx(15.0)
    assert load_between(after, after, 10.0).p95_ms is None, "no requests, no latency"
    with pytest.raises(ValueError, match="holds no load"):
        load_between(before, after, 0.0)


def test_a_restart_of_the_application_counts_from_zero() -> None:
    before = one(1000.0, (0.01, 900.0), (float("inf"), 1000.0))
    after = one(30.0, (0.01, 30.0), (float("inf"), 30.0))
    load = load_between(before, after, 10.0)
    assert load.requests == 30
    assert load.p95_ms == pytest.approx(9.5)


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=20))
def test_whole_requests_add_up(totals: list[float]) -> None:
    totals.sort()
    counted = sum(load_between(one(a), one(b), 1.0).requests for a, b in pairwise(totals))
    assert counted == int(totals[-1]) - int(totals[0])


@pytest.mark.parametrize("url", ["https://x/", "localhost:80", "file:///etc/passwd", "http://"])
def test_a_url_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an http:// URL"):
        Endpoint(LoadConfig(url=url))


def test_servers_whose_names_are_known() -> None:
    triton = (
        'nv_inference_request_success{model="a",version="1"} 5\nnv_inference_request_success{model="b"} 7\n'
    )
    assert total(Exposition(*KNOWN["triton"]).read(triton)) == 12.0
    vllm = (
        'vllm:request_success_total{finished_reason="stop",model_name="m"} 3\n'
        'vllm:request_success_total{finished_reason="length",model_name="m"} 1\n'
        'vllm:e2e_request_latency_seconds_bucket{le="0.3",model_name="m"} 3\n'
        'vllm:e2e_request_latency_seconds_bucket{le="+Inf",model_name="m"} 4\n'
    )
    reading = Exposition(*KNOWN["vllm"]).read(vllm)
    assert total(reading) == 4.0
    assert sorted(reading.buckets.values()) == [(0.3, 3.0), (float("inf"), 4.0)]


def test_nginx_stub_status() -> None:
    page = (
        "Active connections: 291 \nserver accepts handled requests\n"
        " 16630948 16630948 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n"
    )
    assert total(parse_stub_status(page)) == 31_070_465.0
    for wrong in ("", page[:70], page.replace("requests", "nonsense"), "<html>404</html>"):
        with pytest.raises(Unreadable, match="not nginx's stub_status page"):
            parse_stub_status(wrong)


def test_together_rates_add_up_and_the_worst_latency_counts() -> None:
    one = Load(requests=100, interval_s=10.0, p95_ms=20.0)
    other = Load(requests=50, interval_s=10.0, p95_ms=70.0)
    unknown = Load(requests=1, interval_s=10.0)
    assert together([one, other, unknown]) == Load(requests=151, interval_s=10.0, p95_ms=70.0)
    assert together([unknown]).p95_ms is None
