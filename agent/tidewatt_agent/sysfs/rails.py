"""Power rails from the board's monitors: INA3221 and INA238, under hwmon or JetPack 4's iio.

hwmon gives no power file for the INA3221: watts are millivolts times milliamperes. Channels
1 to 3 are rails; in4 to in7 are shunt voltages and their sum. hwmon numbers are not stable, so a
chip is known by its `name`.
"""

import msgspec

from tidewatt_agent.power import INPUT_RAILS, UNCONNECTED, plausible
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_governor.sample import Rail

#: The INA238 of the Thor developer kit sits on the board's input and carries no label. Elsewhere one
#: without a label could be anything.
INA238_RAIL = "VIN"
INA3221_CHANNELS = (1, 2, 3)
IIO_CHANNELS = (0, 1, 2)


class Channel(msgspec.Struct, frozen=True):
    """One measured rail: its name, the files that hold its millivolts and milliamperes, and the file
    that says whose they are: hwmon folders may be numbered anew while we run.
    """

    name: str
    millivolts: str
    milliamperes: str
    label: str
    says: str


def find_rails(tree: Tree) -> tuple[Channel, ...]:
    """Every connected rail that the board measures, in the order of its chips."""
    found: list[Channel] = []
    for chip in tree.find("sys/class/hwmon/hwmon*"):
        name = tree.read(f"{chip}/name")
        if name == "ina3221":
            found += [_labelled(tree, f"{chip}/in{n}", f"{chip}/curr{n}") for n in INA3221_CHANNELS]
        elif name == "ina238" and tree.read(f"{chip}/in1_label"):
            found.append(_labelled(tree, f"{chip}/in1", f"{chip}/curr1"))
        elif name == "ina238" and "tegra264" in (tree.read("proc/device-tree/compatible") or ""):
            files = (f"{chip}/in1_input", f"{chip}/curr1_input", f"{chip}/name")
            found.append(Channel(INA238_RAIL, *files, name))
    for device in tree.find("sys/bus/i2c/drivers/ina3221x/*/iio[:_]device*"):
        for n in IIO_CHANNELS:
            label = f"{device}/rail_name_{n}"
            name = tree.read(label) or UNCONNECTED
            files = (f"{device}/in_voltage{n}_input", f"{device}/in_current{n}_input", label)
            found.append(Channel(name, *files, name))
    return tuple(channel for channel in found if channel.name != UNCONNECTED)


def _labelled(tree: Tree, volts: str, amperes: str) -> Channel:
    name = tree.read(f"{volts}_label") or UNCONNECTED
    return Channel(name, f"{volts}_input", f"{amperes}_input", f"{volts}_label", name)


def read_rails(tree: Tree, channels: tuple[Channel, ...]) -> tuple[Rail, ...]:
    """The rails in watts. One that can't be read, or reads what no board draws, is left out; and with it
    all the others where none of them measures the board's input: some of a sum is no sum.
    """
    rails = [rail for channel in channels if (rail := _read(tree, channel))]
    if len(rails) < len(channels) and not any(rail.name in INPUT_RAILS for rail in rails):
        return ()
    return tuple(rails)


def _read(tree: Tree, channel: Channel) -> Rail | None:
    if not tree.says(channel.label, channel.says):
        return None
    millivolts, milliamperes = tree.number(channel.millivolts), tree.number(channel.milliamperes)
    if millivolts is None or milliamperes is None:
        return None
    watts = millivolts * milliamperes / 1e6
    return Rail(channel.name, round(watts, 6)) if plausible(watts) else None
