"""The forecaster on a device: what it makes of minutes, how it learns, when it is trusted, how it fails."""

import hashlib
import math
from collections.abc import Callable
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tidewatt_coordinator.train.windows import Series, calendar, rows
from tidewatt_governor.forecast.conformal import Conformal
from tidewatt_governor.forecast.forecaster import Forecaster
from tidewatt_governor.forecast.head import Head
from tidewatt_governor.forecast.history import FEWEST_KNOWN, KEPT, History, calendar_row
from tidewatt_governor.forecast.layout import AHEAD, FLOOR_RPS, LAGS, OUTPUTS, PAST, PEAK_15
from tidewatt_governor.forecast.model import Model, ModelError
from tidewatt_governor.forecast.peaks import Peaks
from tidewatt_governor.forecast.shipped import shipped_card, shipped_model
from tidewatt_governor.forecast.trust import FEWEST, WINDOW, Trust

Answers = NDArray[np.float32]
DAY = 1440
NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def shipped() -> Model:
    return Model(shipped_model(), name="shipped")


def wave(minute: int) -> float:
    """A day's tide and a job every hour at five to: what a device's habits are like."""
    return 100.0 + 60.0 * math.sin(minute * math.tau / DAY) + (40.0 if 55 <= minute % 60 < 59 else 0.0)


def run(forecaster: Forecaster, first: int, last: int, rate: Callable[[int], float | None]) -> None:
    for minute in range(first, last):
        forecaster.minute(minute, rate(minute), NOON)


def constant_model(
    answer: Answers,
    name: str = "minutes",
    minutes: tuple[str | int, ...] = ("n", 1 + len(LAGS), PAST + AHEAD),
) -> bytes:
    """A model that says the same whatever it is shown."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(minutes)),
        helper.make_tensor_value_info("calendar", TensorProto.FLOAT, ["n", 3]),
    ]
    output = helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, None)
    constant = helper.make_node("Constant", [], ["quantiles"], value=numpy_helper.from_array(answer))
    graph = helper.make_graph([constant], "constant", inputs, [output])
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def answer_of(value: float) -> Answers:
    return np.full((1, OUTPUTS, 3), value, dtype=np.float32)


def test_the_device_sees_what_the_training_saw() -> None:
    chance = np.random.default_rng(3)
    rates = chance.uniform(0, 50, 3 * DAY)
    rates[100:130] = np.nan
    history, last = History(), 3 * DAY - 100
    for minute in range(last + 1):
        history.add(minute, float(rates[minute]))
    seen = rows(rates[: last + 1], np.array([last]))[0]
    np.testing.assert_array_equal(np.array(history.rows(), dtype=np.float32), seen)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
def test_the_calendar_is_the_peoples_in_both(zone: str) -> None:
    first = int(datetime(2026, 3, 28, tzinfo=timezone.utc).timestamp() // 60)
    series = Series("s", first, np.ones(3 * DAY), 1, ZoneInfo(zone))
    origins = np.arange(0, 3 * DAY, 7)  # over a change of the clock in Berlin, and a weekend
    for origin, row in zip(origins, calendar(series, origins), strict=True):
        local = datetime.fromtimestamp((first + int(origin)) * 60, ZoneInfo(zone))
        assert list(row) == calendar_row(local)


def test_saturday_and_sunday_are_the_weekend() -> None:
    days = [calendar_row(datetime(2026, 11, day, 23, 59, tzinfo=timezone.utc)) for day in range(16, 23)]
    assert [row[2] for row in days] == [0, 0, 0, 0, 0, 1, 1]
    assert [row[1] for row in days] == list(range(7))
    assert days[0][0] == 1439


def test_a_gap_stays_a_gap_and_old_minutes_are_let_go() -> None:
    history = History()
    history.add(10, 1.0)
    history.add(12, 3.0)
    history.add(11, 2.0)  # too late
    assert [history.rate(minute) for minute in (10, 12)] == [1.0, 3.0]
    assert math.isnan(history.rate(11))
    history.add(12 + KEPT, 5.0)
    assert math.isnan(history.rate(12))
    assert math.isnan(history.rate(12 + KEPT - 1))


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=120))
@settings(max_examples=50)
def test_whatever_minutes_come_it_forecasts_or_says_why_not(rates: list[float | None]) -> None:
    forecaster = Forecaster(shipped())
    for minute, rate in enumerate(rates):
        forecast = forecaster.minute(minute, rate, NOON)
        assert (forecast is None) == (forecaster.problem is not None)
        if forecast:
            assert np.isfinite(np.array(forecast.rps)).all()
            assert (np.diff(np.array(forecast.rps), axis=1) >= 0).all()
            assert (np.array(forecast.rps) >= 0).all()


def test_too_little_history_is_no_forecast() -> None:
    forecaster = Forecaster(shipped())
    run(forecaster, 0, FEWEST_KNOWN - 1, lambda _minute: 5.0)
    assert (
        forecaster.problem
        == f"{FEWEST_KNOWN - 1} of the last 60 minutes are known, {FEWEST_KNOWN} are needed"
    )
    assert forecaster.minute(FEWEST_KNOWN - 1, 5.0, NOON)
    assert forecaster.minute(FEWEST_KNOWN, None, NOON) is None
    assert forecaster.problem == "the last minute is not known"
    assert forecaster.minute(FEWEST_KNOWN + 1, 5.0, NOON), "and it goes on"


def test_it_learns_this_devices_habits_and_is_trusted_for_it() -> None:
    forecaster = Forecaster(shipped())
    run(forecaster, 0, 2 * DAY, wave)
    assert forecaster.trust.trusted
    assert forecaster.trust.skill is not None
    assert forecaster.trust.skill > 0.7, "of the last value's error, less than a third is left"
    at_52 = 2 * DAY + 52
    run(forecaster, 2 * DAY, at_52, wave)
    forecast = forecaster.minute(at_52, wave(at_52), NOON)
    assert forecast
    assert forecast.soon[0] == pytest.approx(wave(at_52 + 3), rel=0.1), "the job at five to is foreseen"


def test_a_scale_is_only_a_scale() -> None:
    one, thousand = Forecaster(shipped()), Forecaster(shipped())
    for minute in range(300):
        small = one.minute(minute, wave(minute), NOON)
        large = thousand.minute(minute, 1000 * wave(minute), NOON)
    assert small
    assert large
    np.testing.assert_allclose(1000 * np.array(small.rps), np.array(large.rps), rtol=1e-3)


def test_an_unskilled_model_is_found_out_and_forgiven() -> None:
    forecaster = Forecaster(Model(constant_model(answer_of(500.0)), name="liar"))
    run(forecaster, 0, 600, lambda minute: 100.0 + minute % 7)
    assert not forecaster.trust.trusted
    assert "of the last value's" in forecaster.trust.reason
    chance = np.random.default_rng(2).normal(500.0, 30.0, 3 * WINDOW)
    run(forecaster, 600, 600 + 3 * WINDOW, lambda minute: float(chance[minute - 600]))
    assert forecaster.trust.trusted, "now it happens to be right"


def test_trust_needs_scores_and_a_reason() -> None:
    trust, said = Trust(), []
    for _ in range(FEWEST):
        said.append((trust.trusted, trust.reason))
        trust.score([1.0] * AHEAD, 2.0, 3.0, [1.0] * AHEAD)
    assert said == [(False, f"{number} of {FEWEST} forecasts scored") for number in range(FEWEST)]
    assert trust.reason == "error 0.00 of the last value's, 100% of the peaks below their p90"
    for _ in range(WINDOW // 4):
        trust.score([1.0] * AHEAD, 0.5, 3.0, [1.0] * AHEAD)
    assert (trust.trusted, trust.reason) == (False, "40% of the peaks stayed below their p90")


def test_calibration_finds_the_promised_coverage_of_a_model_that_is_far_too_narrow() -> None:
    chance, conformal = np.random.default_rng(5), Conformal()
    quantiles = np.repeat(np.array([[100.0, 102.0, 104.0]]), OUTPUTS, axis=0)
    rates = chance.normal(100.0, 10.0, 6000)
    bounds = []
    for rate in rates:
        conformal.came(float(rate))
        bounds.append(conformal(quantiles, np.full(OUTPUTS, 100.0), 100.0, 100.0)[PEAK_15, 1])
    covered = [np.max(rates[i + 1 : i + 1 + AHEAD]) <= bounds[i] for i in range(3000, 6000 - AHEAD)]
    assert 0.87 < np.mean(covered) < 0.93


def test_a_missed_peak_is_learned_from_the_minute_that_missed_it() -> None:
    conformal, quantiles = Conformal(), np.repeat(np.array([[100.0, 102.0, 104.0]]), OUTPUTS, axis=0)
    first = conformal(quantiles, np.full(OUTPUTS, 100.0), 100.0, 100.0)
    conformal.came(150.0)
    after = conformal(quantiles, np.full(OUTPUTS, 100.0), 100.0, 150.0)
    assert after[PEAK_15, 1] > first[PEAK_15, 1], "though fourteen of its minutes are yet to come"


def test_a_gap_neither_hides_a_miss_nor_counts_as_kept() -> None:
    quantiles, medians = (
        np.repeat(np.array([[100.0, 102.0, 104.0]]), OUTPUTS, axis=0),
        np.full(OUTPUTS, 100.0),
    )
    unknown, missed = Conformal(), Conformal()
    for conformal, rates in ((unknown, [None, *[90.0] * 14]), (missed, [None, 150.0, *[90.0] * 13])):
        before = conformal(quantiles, medians, 100.0, 100.0)
        for rate in rates:
            conformal.came(rate)
            conformal.skipped()
        after = conformal(quantiles, medians, 100.0, 100.0)
        wider = float(after[PEAK_15, 1]) - float(before[PEAK_15, 1])
        assert wider > 0.0 if conformal is missed else wider == 0.0, "what isn't known was not kept, either"


def test_an_idle_night_is_no_promise_kept() -> None:
    conformal, quantiles = Conformal(), np.repeat(np.array([[100.0, 102.0, 104.0]]), OUTPUTS, axis=0)
    evening = conformal(quantiles, np.full(OUTPUTS, 100.0), 100.0, 100.0)
    for _ in range(3000):
        conformal.came(0.0)
        conformal(quantiles * 0.0, np.zeros(OUTPUTS), FLOOR_RPS, 0.0)
    conformal.came(100.0)
    morning = conformal(quantiles, np.full(OUTPUTS, 100.0), 100.0, 100.0)
    np.testing.assert_allclose(morning, evening, rtol=0.01)


def test_the_peaks_learn_how_jagged_the_traffic_is() -> None:
    peaks, chance = Peaks(), np.random.default_rng(3)
    quantiles, middle = np.repeat(np.array([[100.0, 105.0, 110.0]]), OUTPUTS, axis=0), np.full(AHEAD, 100.0)
    rates = chance.normal(100.0, 10.0, 4000)
    said = []
    for rate in rates:
        peaks.came(float(rate))
        said.append(peaks(quantiles, middle, 100.0, float(rate), 0))
    for place, span in enumerate((3, 15)):
        true = np.median([np.max(rates[i : i + span]) for i in range(2000, 3980)])
        assert np.median([one[place] for one in said[2000:]]) == pytest.approx(true, rel=0.02)


def test_the_peaks_never_blow_up() -> None:
    peaks, chance = Peaks(), np.random.default_rng(9)
    for minute in range(3000):
        wild = float(10.0 ** chance.uniform(-6, 6))
        peaks.came(wild if minute % 11 else None)
        quantiles = np.sort(chance.normal(0, 1e3, (OUTPUTS, 3)), axis=1)
        if minute % 17:
            assert np.isfinite(
                peaks(quantiles, quantiles[:AHEAD, 0], max(wild, 1e-3), wild, minute % 4)
            ).all()
        else:
            peaks.skipped()


def test_between_two_steps_the_next_minutes_are_as_the_last() -> None:
    forecaster, chance = Forecaster(shipped()), np.random.default_rng(4)
    steps = chance.uniform(50.0, 150.0, 100)
    for minute in range(500):
        forecast = forecaster.minute(minute, float(steps[minute // 5]), NOON)
        sure = 4 - minute % 5 if minute > 100 else 0
        if forecast and sure:
            last = float(steps[minute // 5])
            assert all(row == (last, last, last) for row in forecast.rps[:sure])
            assert forecast.later[0] >= last, "the highest of fifteen minutes is at least the first of them"
            assert (forecast.soon == (last, last, last)) is (sure >= 3)
            assert forecast.rps[sure][0] < forecast.rps[sure][1], "at the step anything may come"
    forecaster.minute(500, 77.0, NOON)
    beside = forecaster.minute(501, 78.0, NOON)
    assert beside
    assert beside.rps[0][1] > 78.0, "a change beside the beat ends it"


def test_the_head_never_blows_up() -> None:
    head, chance = Head(4), np.random.default_rng(9)
    for minute in range(3000):
        wild = float(10.0 ** chance.uniform(-6, 6))
        head.came(wild if minute % 11 else None)
        middle = head(
            np.full(AHEAD, wild), chance.normal(0, 1e3, (AHEAD, 4)), np.full(AHEAD, wild), max(wild, 1e-3)
        )
        assert np.isfinite(middle).all()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not an ONNX model"),
        (b"\x00" * 100, "not an ONNX model"),
        (shipped_model()[:-5000], "not an ONNX model"),
        (constant_model(answer_of(1.0), minutes=("n", 60, 5)), "input 'minutes' is"),
        (constant_model(answer_of(1.0), name="x"), "no input 'minutes'; it has calendar, x"),
        (b"\x00" * (17 * 1024 * 1024), "more than a model may have"),
    ],
    ids=["empty", "zeros", "cut off", "another layout", "another name", "huge"],
)
def test_what_is_no_model_is_one_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        Model(content, name="m.onnx")
    assert str(caught.value).startswith("m.onnx: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (answer_of(math.nan), "not a number"),
        (answer_of(math.inf), "not a number"),
        (np.ones((1, 15), dtype=np.float32), "shape"),
    ],
)
def test_an_answer_that_is_no_forecast_is_a_problem_not_a_crash(answer: Answers, sentence: str) -> None:
    forecaster = Forecaster(Model(constant_model(answer), name="m.onnx"))
    for minute in range(120):
        assert forecaster.minute(minute, 5.0, NOON) is None
    assert forecaster.problem is not None
    assert sentence in forecaster.problem
    assert not forecaster.trust.trusted


def test_the_shipped_model_is_small_current_and_described() -> None:
    content = shipped_model()
    assert len(content) < 1_000_000
    model = onnx.load_model_from_string(content)
    assert model.opset_import[0].version == 17
    assert hashlib.sha256(content).hexdigest() in shipped_card()


def model_with(features: Answers) -> bytes:
    """A model whose second output is these features, [1, 15, d] or something else."""
    inputs = [
        helper.make_tensor_value_info("minutes", TensorProto.FLOAT, ["n", 1 + len(LAGS), PAST + AHEAD]),
        helper.make_tensor_value_info("calendar", TensorProto.FLOAT, ["n", 3]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("quantiles", "features")
    ]
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in (("quantiles", answer_of(5.0)), ("features", features))
    ]
    graph = helper.make_graph(nodes, "constant", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("shape", [(), (1,), (1, AHEAD), (1, 3, 4), (2, AHEAD, 4)])
def test_features_of_any_other_shape_are_a_problem_not_a_crash(shape: tuple[int, ...]) -> None:
    forecaster = Forecaster(Model(model_with(np.ones(shape, dtype=np.float32)), name="m.onnx"))
    run(forecaster, 0, 80, wave)
    assert forecaster.problem == "m.onnx: its features are not 15 rows of numbers"


def test_features_without_measure_don_t_spread() -> None:
    huge = np.full((1, AHEAD, 3), 3e38, dtype=np.float32)
    forecaster = Forecaster(Model(model_with(huge), name="m.onnx"))
    for minute in range(400):
        forecast = forecaster.minute(minute, wave(minute), NOON)
        assert forecast is None or np.isfinite(np.array(forecast.rps)).all()
    assert forecast


def test_a_forecast_from_before_a_gap_is_not_taken_for_a_newer_one() -> None:
    gap, none = Forecaster(shipped()), Forecaster(shipped())
    run(gap, 0, 200, wave)
    run(none, 0, 200, wave)
    gap.minute(206, wave(206), NOON)
    for minute in range(200, 206):
        none.minute(minute, None, NOON)
    none.minute(206, wave(206), NOON)
    for minute in range(207, 300):
        one, other = gap.minute(minute, wave(minute), NOON), none.minute(minute, wave(minute), NOON)
        assert one == other, "minutes that were skipped are minutes that weren't known"


def test_a_confident_liar_on_an_idle_night_is_not_trusted() -> None:
    trust = Trust()
    for _ in range(WINDOW):
        trust.score([1000.0] * AHEAD, 1e9, 0.0, [0.0] * AHEAD)
    assert not trust.trusted


def test_a_p90_that_promises_nothing_is_not_trusted() -> None:
    trust = Trust()
    for _ in range(WINDOW):
        trust.score([100.0] * AHEAD, 1e6, 105.0, [100.0] * AHEAD)
    assert (trust.trusted, trust.coverage) == (False, 1.0)
    assert "times as far off" in trust.reason


def test_an_error_that_is_not_a_number_is_not_trusted() -> None:
    trust = Trust()
    for _ in range(WINDOW):
        trust.score([math.nan] * AHEAD, math.nan, 105.0, [100.0] * AHEAD)
    assert not trust.trusted
