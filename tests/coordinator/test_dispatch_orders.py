"""Orders on the weights: kept, followed, taken back, with who and why; the commands and the REST side."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from msgspec.structs import replace
from tests.access import acting
from tests.steered import steering_of
from tests.world import HandClock
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.choosing import NoTable
from tidewatt_coordinator.steering.orders import Order, WrongOrder
from tidewatt_coordinator.steering.pools import PoolPrice
from tidewatt_coordinator.steering.rest import router
from tidewatt_coordinator.steering.settings import Class, Dispatch, Pool
from tidewatt_coordinator.steering.wheel import Steering

POOLS = [Pool(name=name, kind="http", capacity_rps=rps) for name, rps in (("cheap", 100.0), ("dear", 400.0))]
PRICES = {"cheap": PoolPrice(1e-6, 0.0, ""), "dear": PoolPrice(5e-6, 0.0, "")}
SETTINGS = Dispatch(
    pools=POOLS, classes=[Class(name="web", expected_rps=50.0)], motion=2.0, absorb_loss=False, explore=0.0
)


def an_order(**rest: Any) -> Order:
    known: dict[str, Any] = {
        "id": "o1",
        "kind": "freeze",
        "by": "ana",
        "why": "",
        "made_ms": 0,
        "until_ms": 1000,
    }
    return Order(**known | rest)


def test_orders_are_kept_once_and_end_once(new_ledger_url: Callable[[], str]) -> None:
    ledger = Ledger(new_ledger_url(), 60_000)
    book, other = Book(ledger.engine, "f"), Book(ledger.engine, "g")
    assert book.order(an_order())
    assert not book.order(an_order(by="bob")), "the same id is the same order"
    assert book.order(an_order(id="o2", kind="drain", backend="east", made_ms=1))
    assert [one.by for one in book.holding(500)] == ["ana", "ana"]
    assert other.holding(500) == []
    assert book.holding(1000) == []
    book.in_force(["o1"], 7)
    book.in_force(["o1"], 9)
    assert book.holding(500)[0].in_force_ms == 7, "the first time counts"
    with pytest.raises(WrongOrder, match="2 orders that hold begin with 'o'"):
        book.end("o", "ben", 500)
    assert book.end("o1", "ben", 500).ended_by == "ben"
    with pytest.raises(WrongOrder):
        book.end("o1", "cid", 501)
    first, second = book.history(10)
    assert (first.id, second.id, second.ended_ms, second.ended_by) == ("o2", "o1", 500, "ben")
    ledger.close()


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (an_order(until_ms=0), "over before it begins"),
        (an_order(until_ms=86_400_001), "24 hours at the most"),
        (an_order(kind="weights"), "weights need 1 to"),
        (an_order(kind="weights", weights={"a": 0.0}), "one of them above 0"),
        (an_order(kind="drain"), "which backend"),
    ],
)
def test_what_cannot_be_followed_is_refused(order: Order, sentence: str, tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 60_000)
    with pytest.raises(WrongOrder, match=sentence):
        Book(ledger.engine, "f").order(order)
    ledger.close()


class World:
    """A coordinator's steering, and the commands beside it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'l.db'}"
        self.ledger = Ledger(self.url, 300_000)
        self.book = Book(self.ledger.engine, "f")
        self.clock = HandClock(1_795_000_000_000)
        self.config = folder / "c.toml"
        self.config.write_text(
            f'[coordinator]\nfleet = "f"\n[ledger]\nurl = "{self.url}"\n[clock]\n'
            "origin_unix_ms = 1795000000000\norigin_monotonic_s = 0.0\nspeed = 1e-9\n"
        )
        self.steering = self.another()

    def another(self) -> Steering:
        """A coordinator on the same database."""
        return steering_of(Fleet(60_000), self.clock, SETTINGS, book=self.book, prices=PRICES)

    def turn(self) -> str:
        """A table is made and published; its reason."""
        self.steering.said(made := self.steering.make())
        return made.kept.message.reason

    def share(self, name: str) -> float:
        assert self.steering.last
        return self.steering.last.table.share("web", name)

    def ask(self, *arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["dispatch", *arguments, "--config", str(self.config)])
        if code:
            assert done.exception
            return str(done.exception)
        assert done.exit_code == 0, (done.output, done.exception)
        return str(done.output)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.ledger.close()


def test_an_operator_holds_the_weights_and_lets_go(world: World) -> None:
    assert "no table has been published yet" in world.ask("show")
    assert "no table has been published yet" in world.ask("explain", code=1)
    world.turn()
    assert world.share("cheap") == 1.0
    said = world.ask("override", "--nothing-to", "cheap", "--by", "ana", "--why", "disk swap", "--hours", "2")
    assert "cheap gets nothing until" in said
    assert "not in force yet" in world.ask("show")
    assert "says ana (disk swap)" in world.turn()
    assert (world.share("cheap"), world.share("dear")) == (0.0, 1.0)
    shown = world.ask("show", "--history", "5")
    assert "in force since" in shown
    assert world.ask("freeze", "--by", "bob").split()[1:4] == ["frozen", "by", "bob"]
    (ordered,) = (one for one in world.book.holding(world.clock.now_ms()) if one.by == "ana")
    assert "taken back: cheap gets nothing" in world.ask("thaw", ordered.id[:6], "--by", "cid")
    assert "frozen by bob" in world.turn()
    assert world.share("dear") == 1.0, "frozen as it was"
    assert "taken back: frozen by bob" in world.ask("thaw")
    assert "nothing is frozen" in world.ask("thaw", code=1)
    world.turn()
    assert world.share("cheap") == 1.0
    assert "ended by cid" in world.ask("show", "--history", "5")


def test_given_weights(world: World) -> None:
    world.turn()
    world.ask("override", "--class", "web", "--weight", "cheap=1", "--weight", "dear=1", "--by", "ana")
    assert "weights of class web set by ana" in world.turn()
    assert world.share("dear") == 0.5
    for wrong, sentence in (
        (("--weight", "x=1"), "there is no backend 'x'; there are: cheap, dear"),
        (("--weight", "cheap"), "'cheap' is not NAME=NUMBER"),
        (("--weight", "cheap=-1"), "is not NAME=NUMBER"),
        ((), "give either --nothing-to"),
        (("--class", "y", "--weight", "cheap=1"), "there is no class 'y'"),
    ):
        assert sentence in world.ask("override", *wrong, code=1)


def test_a_preview_changes_nothing(world: World) -> None:
    world.turn()
    before = world.book.epoch()
    said = world.ask("preview", "--drain", "cheap")
    assert "100.00%" in said
    assert "an hour costs 0.1818 USD now, and 0.9090 then" in said
    assert "refused" in world.ask("preview", "--rate", "web=1000")
    assert "there is no backend 'x'" in world.ask("preview", "--drain", "x", code=1)
    assert world.book.epoch() == before
    assert world.book.history(5) == []


def test_it_is_explained(world: World) -> None:
    world.turn()
    said = world.ask("explain", "--class", "web")
    assert "cheap gets 100.00% of web at 1.0000 USD a million" in said
    assert "dear gets nothing of web: it is dearer than what serves (5.0000 a million)" in said
    assert "there is no class 'z'; there are: web" in world.ask("explain", "--class", "z", code=1)


def test_a_successor_goes_on_from_the_table_in_force(world: World) -> None:
    world.turn()
    first = world.book.epoch()
    dear_now = {"cheap": PoolPrice(9e-6, 0.0, ""), "dear": PRICES["dear"]}
    slowly = replace(SETTINGS, motion=0.1)
    world.steering = steering_of(Fleet(60_000), world.clock, slowly, book=world.book, prices=dear_now)
    world.turn()
    assert world.book.epoch() > first
    assert world.share("cheap") == pytest.approx(0.95, abs=1e-3), "its predecessor's weights bound its own"


def test_one_that_has_not_listened_leaves_the_table_in_force(world: World) -> None:
    world.turn()
    deaf = Steering(
        SETTINGS, world.steering._current, Fleet(60_000), world.steering.power, world.clock, world.book, {},
        lambda: False,
    )  # fmt: skip
    with pytest.raises(NoTable, match="isn't known yet"):
        deaf.make()
    world.clock.move(121.0)
    deaf.said(deaf.make())
    deaf.make()


def test_without_the_database_steering_goes_on(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.turn()
    world.ledger.engine.dispose()
    database = Path(world.url.removeprefix("sqlite:///"))
    kept = database.read_bytes()
    database.write_bytes(b"not a database at all" * 1000)
    world.turn()
    world.turn()
    assert caplog.text.count("can't be") >= 1
    database.write_bytes(kept)


class Browser:
    """Asks the application itself."""

    def __init__(self, web: FastAPI) -> None:
        self._transport = httpx.ASGITransport(acting(web))

    def get(self, path: str, params: dict[str, Any] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://here") as client:
                return await client.get(path, params=params)

        return asyncio.run(ask())


def test_rest(world: World) -> None:
    web = FastAPI()
    web.include_router(router(world.steering))
    client = Browser(web)
    assert client.get("/v1/dispatch").status_code == 404
    world.turn()
    world.ask("override", "--nothing-to", "cheap", "--by", "ana")
    world.turn()
    shown = client.get("/v1/dispatch").json()
    assert shown["classes"]["web"] == {"dear": 20_000}
    assert shown["orders"][0]["by"] == "ana"
    assert shown["obstacle"] is None
    assert shown["gap"] >= 0
    sentences = client.get("/v1/dispatch/explain", params={"class": "web"}).json()["sentences"]
    assert any("cheap gets nothing of web: it is draining" in one for one in sentences)
    assert client.get("/v1/dispatch/explain", params={"class": "x"}).status_code == 404
    free = client.get("/v1/dispatch/preview", params={"without_orders": True}).json()
    assert free["weights"] == {"cheap": 20_000}
    answer = client.get("/v1/dispatch/preview", params={"drain": ["x"]})
    assert (answer.status_code, "there is no backend 'x'" in answer.text) == (422, True)
