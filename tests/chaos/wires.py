"""Faults of lines, and of what comes over them twice or in another order."""

import random
import threading

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from tests.chaos.kinds import Fault, Undo, choice, nothing, part
from tests.chaos.schedule import Step
from tests.chaos.site import COORDINATORS, DEVICES, Site

from tidewatt_link.connection import Connection

LINES = (
    *(f"{device}.broker" for device in DEVICES),
    *(f"{name}.{server}" for name in COORDINATORS for server in ("broker", "database")),
)
#: Seconds that a piece may take, each way.
MOST_DELAY_S = 0.4
#: Bytes a second: a bad radio link.
LEAST_BYTES_PER_S = 2_000.0
#: Reports that are told once more.
TOLD_AGAIN = 200


def delayed(site: Site, step: Step) -> Undo:
    line = site.lines.by_name[step.target]
    site.lines.put(line, delay_s=0.02 + step.amount * MOST_DELAY_S)
    return lambda: site.lines.put(line)


def narrow(site: Site, step: Step) -> Undo:
    line = site.lines.by_name[step.target]
    site.lines.put(line, bytes_per_s=LEAST_BYTES_PER_S * (1.0 + 9.0 * step.amount))
    return lambda: site.lines.put(line)


def stalled(site: Site, step: Step) -> Undo:
    line = site.lines.by_name[step.target]
    site.lines.put(line, stalled=True)
    return lambda: site.lines.put(line)


def cut(site: Site, step: Step) -> Undo:
    site.lines.cut(site.lines.by_name[step.target])
    return nothing


def parted(site: Site, step: Step) -> Undo:
    """One of them reaches nobody: all of its lines are cut and refused."""
    lines = [line for name, line in site.lines.by_name.items() if name.startswith(f"{step.target}.")]
    for line in lines:
        site.lines.put(line, refuses=True)

    def whole() -> None:
        for line in lines:
            site.lines.put(line)

    return whole


def told_again(site: Site, step: Step) -> Undo:
    """The device's last reports once more, each once or twice, in any order, under its own name."""
    topic = f"/device/{step.target}/report"
    heard = [one for one in list(site.watcher.heard) if one.topic.endswith(topic)][-TOLD_AGAIN:]
    chance = random.Random(step.number)
    again = [one for one in heard for _ in range(chance.choice((1, 1, 2)))]
    chance.shuffle(again)
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.tls_set_context(Connection(site.secured.url, site.secured.pki.shown(step.target)).tls())
    there = threading.Event()
    client.on_connect = lambda *_rest: there.set()
    try:
        client.connect(*site.secured.address)
    except OSError:
        return nothing  # the broker is away: nothing is told
    client.loop_start()
    if there.wait(10):
        sent = [client.publish(one.topic, one.payload, qos=1) for one in again]
        for one in sent:
            try:
                one.wait_for_publish(5)
            except (RuntimeError, ValueError):
                break
    client.disconnect()
    client.loop_stop()
    return nothing


FAULTS: dict[str, Fault] = {
    "line delayed": Fault(choice(LINES, longest_s=6.0), delayed),
    "line narrow": Fault(choice(LINES, longest_s=6.0), narrow),
    "line stalled": Fault(choice(LINES, longest_s=8.0), stalled),
    "line cut": Fault(choice(LINES, longest_s=0.1), cut),
    "parted from all": Fault(choice((*DEVICES, *COORDINATORS), 2.0, 8.0), parted, part("lines")),
    "reports told again": Fault(choice(DEVICES, longest_s=0.1), told_again, part("again")),
}  # fmt: skip
