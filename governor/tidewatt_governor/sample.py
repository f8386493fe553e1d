"""What a board and its application look like at one moment, as values.

Missing is not zero: a field that was not in the reading is None or absent.
"""

import msgspec


class Core(msgspec.Struct, frozen=True, gc=False):
    """One online CPU core: its use (0..1, of the present frequency) and its frequency; None: not known."""

    use: float | None
    hertz: int | None = None


class Clocked(msgspec.Struct, frozen=True, kw_only=True):
    """The GPU, the memory controller or a fixed-function engine.

    `on` is False where the board says "off". `use` is 0..1. `hertz` has one entry per
    clock domain the board names (an array of GPCs on Orin and Thor).
    """

    on: bool = True
    use: float | None = None
    hertz: tuple[int, ...] = ()


class Temperature(msgspec.Struct, frozen=True, gc=False):
    """Degrees Celsius now, and the highest since tegrastats began where the board says (JetPack 7.2)."""

    now: float
    highest: float | None = msgspec.field(default=None, name="max")


class Rail(msgspec.Struct, frozen=True, gc=False):
    """A power rail in watts: now, mean and highest since tegrastats began. Names may repeat."""

    name: str
    now: float
    average: float | None = None
    highest: float | None = msgspec.field(default=None, name="max")


class Memory(msgspec.Struct, frozen=True, gc=False):
    """Bytes used and in all."""

    used: int
    total: int


class Fan(msgspec.Struct, frozen=True, kw_only=True):
    """The fan's duty (0..1 of full) and its speed in revolutions per minute."""

    duty: float | None = None
    rpm: int | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a board.

    `stamp` is the board's own text (local time, one-second resolution, often absent) and
    is never used for arithmetic; the reader's monotonic clock is.
    """

    stamp: str | None = None
    ram: Memory | None = None
    largest_free_block: int | None = None
    """Bytes in one piece of the largest free block (lfb)."""
    free_blocks: int | None = None
    swap: Memory | None = None
    swap_cached: int | None = None
    iram: Memory | None = None
    iram_largest_free_block: int | None = None
    cores: tuple[Core | None, ...] | None = None
    """One entry per core, None where it is offline; None where the reading has no CPU field."""
    emc: Clocked | None = None
    gpus: dict[str, Clocked] = {}
    """GR3D, and GR3D2 where the board prints it."""
    engines: dict[str, Clocked] = {}
    mts: dict[str, float] = {}
    """Foreground and background use of the TX2's Denver task switcher, 0..1."""
    temperatures: dict[str, Temperature | None] = {}
    """By name as printed; None where the sensor says it is off (-256 C)."""
    rails: tuple[Rail, ...] = ()
    caps: dict[str, int] = {}
    """Upper clock caps in hertz by clock: the cpufreq policies (policy0, ...), GR3D, EMC."""
    fan: Fan | None = None
    over_current: dict[str, int] = {}
    """Throttling events since boot by channel (oc1, oc2, oc3)."""
    unknown: tuple[str, ...] = ()
    """Tokens the reader did not understand, kept as they were."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What the application was asked for and how it answered, over the last interval.

    None is "not known", never "none".
    """

    requests: int
    """Requests counted in the interval."""
    interval_s: float
    p95_ms: float | None = None

    @property
    def rps(self) -> float:
        """Mean request rate over the interval."""
        return self.requests / self.interval_s
