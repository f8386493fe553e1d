"""When a change is made: drops at once, the rest not more often than the proxy can bear; in virtual time."""

import asyncio
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from tests.sealing import FLEETS_KEY
from tests.world import HandClock

from tidewatt_router import rounding
from tidewatt_router.applier import Applier
from tidewatt_router.config import Config
from tidewatt_router.keeping import TableFile
from tidewatt_router.proxies import Achieved, CannotApply
from tidewatt_router.routes import Backend, Route
from tidewatt_router.splits import Split, Wanted
from tidewatt_router.tables import Tables
from tidewatt_router.watch import FIRST_TABLE_S, Watch
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import DispatchTable
from tidewatt_wire.signing import DISPATCH_TYPE, seal


class PaperProxy:
    """A proxy at the world's edge that fails, forgets and refuses as the test says."""

    name = "paper"
    pause_s = 5.0

    def __init__(self) -> None:
        self.does: Wanted | None = None
        self.broken = False
        self.changes: list[Wanted] = []

    def weights(self, split: Split) -> Mapping[str, int]:
        return split.parts

    def achieved(self, split: Split) -> Achieved:
        return Achieved(rounding.shares(split.parts))

    def render(self, wanted: Wanted) -> str:
        return repr(wanted)

    def apply(self, wanted: Wanted) -> None:
        self.check()
        self.does = wanted
        self.changes.append(wanted)

    def stands(self, wanted: Wanted) -> bool:
        self.check()
        return self.does is not None and self.does.asks == wanted.asks

    def check(self) -> None:
        if self.broken:
            raise CannotApply("torn")


def want(a: int, b: int, epoch: int = 1) -> Wanted:
    return Wanted(epoch, (Split("r", {"a": a, "b": b}),))


async def test_a_drop_waits_for_nobody_and_a_rise_for_the_last_change(clock: HandClock) -> None:
    proxy = PaperProxy()
    applier = Applier(proxy, clock.monotonic_s, verify_s=60.0)
    applier.want(want(1, 1))
    await applier.step()
    clock.move(1.0)
    applier.want(want(2, 1))
    assert await applier.step() == 4.0
    assert proxy.does == want(1, 1)
    assert not applier.in_step
    applier.want(want(2, 0))
    assert await applier.step() == 60.0
    assert proxy.does == want(2, 0)
    clock.move(4.9)
    applier.want(want(2, 1))
    assert 0.0 < await applier.step() < 0.2
    clock.move(0.2)
    await applier.step()
    assert proxy.does == want(2, 1)
    assert applier.in_step


async def test_a_new_epoch_that_asks_the_same_changes_nothing(clock: HandClock) -> None:
    proxy = PaperProxy()
    applier = Applier(proxy, clock.monotonic_s, verify_s=60.0)
    for epoch in range(1, 9):
        applier.want(want(1, 1, epoch))
        await applier.step()
    assert len(proxy.changes) == applier.applies == 1
    assert applier.applied == want(1, 1, 8)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("break"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("forget"), st.just(0), st.just(0)),
        st.tuples(st.just("time"), st.integers(0, 90), st.just(0)),
    ),
    max_size=40,
)


@given(ACTS)
def test_whatever_happens_it_ends_in_step(acts: list[tuple[str, int, int]]) -> None:
    asyncio.run(play(acts))


async def play(acts: list[tuple[str, int, int]]) -> None:
    clock, proxy = HandClock(0), PaperProxy()
    applier = Applier(proxy, clock.monotonic_s, verify_s=5.0)
    asked = None
    for act, one, two in acts:
        if act == "want":
            asked = want(one, two)
            applier.want(asked)
        elif act == "break":
            proxy.broken = bool(one)
        elif act == "forget":
            proxy.does = None
        else:
            clock.move(one / 10)
        before = proxy.does
        await applier.step()
        if asked and not proxy.broken and applier.applied and asked.takes_away(before or asked):
            assert proxy.does == asked
        assert not applier.in_step or (proxy.does and asked and proxy.does.asks == asked.asks)
    proxy.broken = False
    clock.move(100.0)
    await applier.step()
    assert asked is None or (applier.in_step and proxy.does and proxy.does.asks == asked.asks)


def sealed(epoch: int, at_ms: int, **weights: int) -> bytes:
    table = DispatchTable(
        fleet="f", epoch=epoch, issued_at_ms=at_ms, expires_at_ms=at_ms + 60_000, weights=weights
    )
    return seal(encode(table), [FLEETS_KEY], DISPATCH_TYPE)


async def test_at_its_start_the_proxy_is_left_alone_until_a_table_had_its_chance(clock: HandClock) -> None:
    proxy = PaperProxy()
    applier = Applier(proxy, clock.monotonic_s, verify_s=5.0)
    tables = Tables("f", lambda: [FLEETS_KEY.trusted], TableFile(None))
    config = Config(backend=[Backend(name="a"), Backend(name="b")], route=[Route(name="r")])
    watch = Watch(config, tables, [applier], clock)

    async def look_after(seconds: float) -> Wanted | None:
        clock.move(seconds)
        watch.look()
        await applier.step()
        return proxy.does

    assert await look_after(FIRST_TABLE_S / 2) is None
    assert await look_after(FIRST_TABLE_S / 2) == Wanted(0, (Split("r", {"a": 1, "b": 1}, source="equal"),))
    assert tables.offer(sealed(7, clock.now_ms(), a=3, b=1), clock.now_ms())
    assert await look_after(10.0) == Wanted(7, (Split("r", {"a": 3, "b": 1}),))
    # Nobody says anything any more: the table holds for its time, then equal shares, as it has no safe half.
    assert await look_after(49.9) == Wanted(7, (Split("r", {"a": 3, "b": 1}),))
    assert await look_after(0.1) == Wanted(7, (Split("r", {"a": 1, "b": 1}, source="equal"),))
