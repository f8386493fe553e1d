"""The link before and after a nap, over a real broker: the last word, no will, and born again."""

import asyncio

from tests.agent.test_link import BIRTH, linked, listening, report
from tests.world import Mosquitto, until

from tidewatt_wire.codec import decode
from tidewatt_wire.messages import Report
from tidewatt_wire.sleeping import SleepState


def asleep(session: str) -> SleepState:
    return SleepState(device="d1", session=session, at_ms=1, state="asleep", until_ms=2, expires_at_ms=3)


def awake(session: str) -> SleepState:
    return SleepState(device="d1", session=session, at_ms=4, state="awake")


async def test_its_last_word_comes_after_its_reports_and_before_no_will(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto.address) as (ear, _), linked(mosquitto.address) as link:
        await until(lambda: link.connected)
        link.send(report(1))
        assert await link.rest(asleep, 10.0)
        await until(lambda: not link.connected)
        link.send(report(2))
        await until(lambda: ear.of("sleep"))
        assert decode(SleepState, ear.of("sleep")[0]) == asleep(BIRTH.session)
        assert [decode(Report, payload).seq for payload in ear.of("report")] == [1]
        await asyncio.sleep(0.2)
        assert (len(ear.of("birth")), ear.of("will")) == (1, []), "it rests, and nobody calls that a death"
        link.wake(awake)
        await until(lambda: len(ear.of("sleep")) == 2 and len(ear.of("report")) == 2)
        assert decode(SleepState, ear.of("sleep")[1]) == awake(BIRTH.session)
        assert (len(ear.of("birth")), ear.of("will")) == (2, [])


async def test_without_a_broker_there_is_no_last_word_and_the_link_goes_on(mosquitto: Mosquitto) -> None:
    async with linked(mosquitto.address) as link:
        await until(lambda: link.connected)
        mosquitto.kill()
        await until(lambda: not link.connected)
        assert not await link.rest(asleep, 0.2)
        link.wake(awake)
        mosquitto.start()
        async with listening(mosquitto.address) as (ear, _):
            await until(lambda: ear.of("sleep"))
            assert decode(SleepState, ear.of("sleep")[-1]).state == "awake"
            assert link.connected


async def test_what_it_says_is_said_again_at_every_connection(mosquitto: Mosquitto) -> None:
    async with linked(mosquitto.address) as link:
        link.say(awake)
        await until(lambda: link.connected)
        mosquitto.kill()
        await until(lambda: not link.connected)
        mosquitto.start()
        async with listening(mosquitto.address) as (ear, _):
            await until(lambda: ear.of("sleep"))
