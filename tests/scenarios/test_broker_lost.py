"""A broker that comes back with nothing, an agent that had none for a while: real processes, nothing lost."""

from tests.actuators import wait_for
from tests.fleets import Fleet, watching
from tests.watchers import POLICY, Watcher
from tests.world import Mosquitto


def until_told(watcher: Watcher, devices: set[str], before: int = 0, *, retained: bool = False) -> None:
    """Wait until all that is to be retained was said, since that message or to somebody who came."""

    def all_told() -> bool:
        heard = [one for one in watcher.heard[before:] if one.payload and (one.retained or not retained)]
        kinds = {one.topic.split("/", 3)[3] for one in heard}
        chunks = [kind for kind in kinds if kind.startswith("model/")]
        return kinds >= {"policy", "state", "dispatch"} | devices and len(chunks) == 3

    wait_for(all_told, "all that is retained")


def test_a_broker_that_has_forgotten_everything(fleet: Fleet, mosquitto: Mosquitto) -> None:
    models = fleet.folder / "models"
    models.mkdir()
    (models / "m.onnx").write_bytes(bytes(300_000))
    coordinator, agents = fleet.coordinator(), [fleet.agent("d1"), fleet.agent("d2")]
    fleet.until_applied("d1", "d2", promise_ms=60.0)
    said = fleet.watcher.last(POLICY)
    devices = {f"device/{device}/{kind}" for device in ("d1", "d2") for kind in ("birth", "ack")}

    before = len(fleet.watcher.heard)
    mosquitto.kill()
    mosquitto.start()
    until_told(fleet.watcher, devices, before)
    with watching(fleet) as newcomer:
        until_told(newcomer, devices, retained=True)
    assert fleet.watcher.last(POLICY) == said
    assert fleet.standing.revision == fleet.until_applied("d1", "d2", promise_ms=60.0)
    assert all(agent.running for agent in agents)
    # Who says goodbye while nobody listens is not heard before it comes back.
    wait_for(lambda: fleet.value("east", "tidewatt_ingest_connected") == 1, "the coordinator to listen again")
    for agent in agents:
        agent.stop()
    for device in ("d1", "d2"):
        fleet.until_in_ledger(device)
    coordinator.stop()
    wait_for(lambda: fleet.watcher.state() == "stopped", "its goodbye")


def test_an_agent_without_a_broker_for_a_while(fleet: Fleet, mosquitto: Mosquitto) -> None:
    coordinator, agent = fleet.coordinator(), fleet.agent("d1")
    fleet.until_applied("d1", promise_ms=60.0)
    wait_for(lambda: fleet.ledgers("d1"), "the ledger to know it")
    coordinator.kill()
    mosquitto.kill()
    began_ms = fleet.now_ms
    wait_for(lambda: fleet.now_ms > began_ms + 60_000, "a virtual minute of reports that can't leave")
    agent.stop()
    counted = fleet.counted("d1")
    agent = fleet.agent("d1")
    wait_for(lambda: fleet.ticks("d1") > 3, "it to govern by the policy that it kept")
    assert fleet.promise("d1") == 60.0
    mosquitto.start()
    fleet.coordinator()
    wait_for(lambda: fleet.ledgers("d1")["energy_mj"] > counted["energy_mj"], "the ledger to have it all")
    wait_for(lambda: fleet.value("d1", "tidewatt_reports_replayed_total") >= 3, "the spool to be replayed")
    fleet.until_applied("d1", promise_ms=60.0)
    agent.stop()
    fleet.until_in_ledger("d1")
