"""Power rails from the board's monitors: INA3221 and INA238, under hwmon or JetPack 4's iio.

hwmon gives no power file for the INA3221: watts are millivolts times milliamperes. Channels
1 to 3 are rails; in4 to in7 are shunt voltages and their sum. hwmon numbers are not stable, so a
chip is known by its `name`.
"""

import msgspec

from tidewatt_agent.power import UNCONNECTED
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_governor.sample import Rail

#: The INA238 of the Thor developer kit sits on the board's input and carries no label.
INA238_RAIL = "VIN"
INA3221_CHANNELS = (1, 2, 3)
IIO_CHANNELS = (0, 1, 2)


class Channel(msgspec.Struct, frozen=True):
    """One measured rail: its name and the files that hold its millivolts and milliamperes."""

    name: str
    millivolts: str
    milliamperes: str


def find_rails(tree: Tree) -> tuple[Channel, ...]:
    """Every connected rail that the board measures, in the order of its chips."""
    found: list[Channel] = []
    for chip in tree.find("sys/class/hwmon/hwmon*"):
        name = tree.read(f"{chip}/name")
        if name == "ina3221":
            for n in INA3221_CHANNELS:
                label = tree.read(f"{chip}/in{n}_label")
                if label:
                    found.append(Channel(label, f"{chip}/in{n}_input", f"{chip}/curr{n}_input"))
        elif name == "ina238":
            label = tree.read(f"{chip}/in1_label") or INA238_RAIL
            found.append(Channel(label, f"{chip}/in1_input", f"{chip}/curr1_input"))
    for device in tree.find("sys/bus/i2c/drivers/ina3221x/*/iio[:_]device*"):
        for n in IIO_CHANNELS:
            label = tree.read(f"{device}/rail_name_{n}")
            if label:
                found.append(Channel(label, f"{device}/in_voltage{n}_input", f"{device}/in_current{n}_input"))
    return tuple(channel for channel in found if channel.name != UNCONNECTED)


def read_rails(tree: Tree, channels: tuple[Channel, ...]) -> tuple[Rail, ...]:
    """The rails in watts, or none of them: a part of a board's rails would make a wrong total."""
    rails: list[Rail] = []
    for channel in channels:
        millivolts, milliamperes = tree.number(channel.millivolts), tree.number(channel.milliamperes)
        if millivolts is None or milliamperes is None:
            return ()
        rails.append(Rail(channel.name, round(millivolts * milliamperes / 1e6, 6)))
    return tuple(rails)
