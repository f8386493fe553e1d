"""Texts that people and boards write: they are read, or refused in a sentence."""

from collections.abc import Callable
from importlib import resources
from zoneinfo import ZoneInfo

from tests.fuzz.target import Target
from tests.truth import invented
from tests.world import BOARDS, RECORDINGS, recording

from tidewatt_agent.modefile import parse_modes
from tidewatt_agent.nvpmodel import parse_conf, to_conf
from tidewatt_agent.tegrastats.parse import NotTegrastats, parse_line
from tidewatt_coordinator.electricity.dayahead import DayAheadError, parse_day_ahead
from tidewatt_coordinator.electricity.rates import Clockwork, cost
from tidewatt_coordinator.electricity.sites import Sites
from tidewatt_coordinator.electricity.tariff import parse_tariff
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.prices.files import parse_table
from tidewatt_coordinator.rollout.documents import parse, to_text
from tidewatt_wire.documents import DocumentError, decode_text, parse_toml

#: The beginning of 2026 in Berlin.
YEAR_MS = 1_767_222_000_000
LONGEST_SENTENCE = 20_000


def of_text(read: Callable[[str], object]) -> Callable[[bytes], None]:
    """Takes bytes as a person's file; DocumentError is an answer."""

    def one(data: bytes) -> None:
        try:
            read(decode_text(data, "f"))
        except DocumentError as error:
            said = str(error)
        else:
            return
        assert 0 < len(said) < LONGEST_SENTENCE

    return one


def conf(data: bytes) -> None:
    """Modes are read as they are written: what is written of them is read as the same."""
    found = parse_conf(data.decode("utf-8", "replace"))
    again = parse_conf(to_conf(found))
    assert (again.default, again.modes) == (found.default, found.modes)
    assert len({mode.id for mode in found.modes}) == len(found.modes)


def tegrastats(data: bytes) -> None:
    """It reads or refuses, and invents nothing."""
    text = data.decode("utf-8", "replace")
    try:
        sample = parse_line(text)
    except NotTegrastats:
        return
    assert not (wrong := invented(sample, text)), f"invented {wrong}"


def _policy_toml(text: str) -> None:
    document = parse(text, name="p.toml").document
    assert parse(to_text(document), name="again.toml").document == document


def _policy_yaml(text: str) -> None:
    document = parse(text, name="p.yaml").document
    assert parse(to_text(document), name="again.toml").document == document


def _prices(text: str) -> None:
    for name in ("p.toml", "p.csv"):
        try:
            table = parse_table(text, name)
        except DocumentError:
            continue
        PriceBook([table], [])


def _tariff(text: str) -> None:
    tariff = parse_tariff(text, "t.toml")
    if tariff.day_ahead is None:
        clockwork = Clockwork(tariff)
        for hour in range(0, 8760, 731):
            rates = clockwork.hour(YEAR_MS + hour * 3_600_000)
            assert cost(3_600_000, rates).is_finite()


def _sites(text: str) -> None:
    sites = parse_toml(text, Sites, name="s.toml")
    for sentence in sites.wrong():
        raise DocumentError(f"s.toml: {sentence}")


def day_ahead(data: bytes) -> None:
    """Quarter hours with prices, or which line is wrong."""
    rows = [line.split(",") for line in data.decode("utf-8", "replace").splitlines()]
    try:
        found = parse_day_ahead(rows, ZoneInfo("Europe/Berlin"))
    except DayAheadError:
        return
    assert all(start % 900_000 == 0 and price.is_finite() for start, price in found.items())


def confs() -> list[bytes]:
    """A file as the vendor ships it, and one with what real ones do to their grammar."""
    modes = parse_modes(recording("orin-nano-super-jp62").nvpmodel or "")
    return [to_conf(modes).encode(), CONF]


def lines() -> list[bytes]:
    """A line of every board."""
    files = [RECORDINGS / board / "tegrastats.txt" for board in BOARDS]
    return [path.read_bytes().splitlines()[0] for path in files if path.exists()]


TOML = b"""
name = "winter"
not_after = 2027-03-01T00:00:00Z
[[rules]]
match = { site = "berlin", role = "camera" }
policy.slo_p95_ms = 45
policy.derate_at_c = "none"
[[rules]]
[rules.policy]
control = "observe"
maintenance = { start = "13:00", minutes = 60, zone = "Europe/Berlin" }
[rollout]
approval = "start"
waves = [{ percent = 100, match = { ring = "canary" }, soak_s = 60 }, { percent = 100 }]
[rollout.gates]
p95_ms = "none"
"""
YAML = b"""
name: winter
not_after: 2027-03-01T00:00:00Z
rules:
  - match: &a {site: berlin, role: camera}
    policy: {slo_p95_ms: 45, derate_at_c: none}
  - policy:
      control: observe
      maintenance: {start: 13:00, minutes: 60, zone: Europe/Berlin}
rollout:
  approval: start
  waves:
    - {percent: 100, match: *a, soak_s: 60}
    - percent: 100
  gates: {p95_ms: none}
"""
TARIFF = b"""
name = "t"
currency = "EUR"
price_per_kwh = "0.30"
valid_from = 2026-01-01
source = "made up"
zone = "Europe/Berlin"
holidays = ["07-04", "2026-11-26"]
[[season]]
name = "summer"
from = "06-01"
to = "08-31"
[[window]]
name = "peak"
season = "summer"
days = ["weekday"]
from = "07:00"
to = "20:00"
price_per_kwh = "0.40"
[[demand]]
days = ["weekday"]
from = "08:00"
to = "20:00"
price_per_kw = "12"
minutes = 30
"""
SITES = b"""
[[site]]
name = "berlin"
tariff = ["old.toml", "new.toml"]
solar = "roof.csv"
"""
DAYS = b"""start,price_per_kwh
2026-01-05T00:00:00+01:00,80.1
2026-01-05T01:00:00+01:00,-3
"""
CSV = b"""# name: own
# provider: aws
# service: Amazon EC2
# currency: USD
# date: 2026-11-01
# source: an offer
item,region,unit,per,price,up_to,free,note
ours.gpu,eu,hour,1,0.5,100,,
ours.gpu,eu,hour,1,0.4,,,
"""
CONF = b"""# two of an id, any order of attributes, no space before the end
< PARAM TYPE=CLOCK NAME=GPU>
FREQ_TABLE /sys/class/devfreq/17000000.gpu/available_frequencies
MAX_FREQ  /sys/class/devfreq/17000000.gpu/max_freq  second
<POWER_MODEL NAME=MODE_15W ID=0>
GPU MAX_FREQ 420750000   # of all
CPU_ONLINE CORE_1 -1
< POWER_MODEL ID=0 NAME=AGAIN >
GPU MAX_FREQ 1
< FAN_CONFIG DEFAULT=quiet >
< PM_CONFIG DEFAULT=0/>
"""


def _prices_seeds() -> list[bytes]:
    folder = resources.files("tidewatt_coordinator.data.prices")
    return [CSV, *(folder.joinpath(name).read_bytes() for name in ("aws-lambda.toml", "aws-dynamodb.toml"))]


TARGETS = {
    "nvpmodel": Target(conf, confs, 150),
    "tegrastats": Target(tegrastats, lines, 600, 900),
    "policy-toml": Target(of_text(_policy_toml), lambda: [TOML], 120, 4000),
    "policy-yaml": Target(of_text(_policy_yaml), lambda: [YAML], 80, 4000),
    "prices": Target(of_text(_prices), _prices_seeds, 200),
    "tariff": Target(of_text(_tariff), lambda: [TARIFF], 300),
    "sites": Target(of_text(_sites), lambda: [SITES], 300),
    "day-ahead": Target(day_ahead, lambda: [DAYS], 500, 4000),
}
