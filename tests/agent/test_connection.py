"""From URL and files to a connection: by every way there is, and one sentence wherever there is none."""

import gc
import ssl
from pathlib import Path

import aiomqtt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from tests.secured import Pki, SecuredMosquitto, now
from tests.websocket import websockets_before
from tests.world import HandClock, Mosquitto

from tidewatt_agent.config import Config, parse_config
from tidewatt_agent.enrolling.renewal import Renewal
from tidewatt_agent.linkchecks import certificate_finding, link_findings
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_coordinator.config import parse_config as parse_coordinator_config
from tidewatt_coordinator.pki.certificates import key_pem, new_key
from tidewatt_link.connection import CannotConnect, Connection
from tidewatt_wire.brokers import SCHEMES, Credentials, parse_broker_url, why_not
from tidewatt_wire.documents import to_toml

ROOT = Path(__file__).parents[2]


def now_ms() -> int:
    return round(now().timestamp() * 1000)


def test_urls() -> None:
    for url, said in (
        ("mqtt://b", ("mqtt://b:1883", "tcp", False, "")),
        ("mqtt://b:18830", ("mqtt://b:18830", "tcp", False, "")),
        ("mqtts://b", ("mqtts://b:8883", "tcp", True, "")),
        ("ws://b", ("ws://b:80", "websockets", False, "/mqtt")),
        ("wss://b/a?b=c", ("wss://b:443", "websockets", True, "/a?b=c")),
        ("mqtts://[2001:db8::1]:1", ("mqtts://[2001:db8::1]:1", "tcp", True, "")),
    ):
        found = parse_broker_url(url, "link.broker")
        assert (str(found), found.transport, found.tls, found.path) == said


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("broker:1883", "is not an mqtt://host:port, mqtts://, ws:// or wss:// URL"),
        ("http://x", "is not an mqtt://host:port, mqtts://, ws:// or wss:// URL"),
        ("mqtt://", "is not an mqtt://"),
        ("mqtt://x:99999", "can't be used"),
        ("mqtt://x:0", "is not an mqtt://"),
        ("mqtt://x/topic", "has a path, which only ws:// and wss:// can have"),
        ("mqtt://x y", "letters that no URL has"),
        ("mqtts://me:secret@x", "set link.user, and link.password_file to a file"),
        ("mqtts://me:secret@x:99999", "can't be used"),
        ("mqtts://me:secret@x y", "letters that no URL has"),
        ("http://me:secret@x", "is not an mqtt://"),
    ],
)
def test_urls_that_are_none(url: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is compared
        parse_broker_url(url, "link.broker")
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60), st.sampled_from(["", *(f"{scheme}://" for scheme in SCHEMES)]))
def test_any_text_is_an_url_or_a_sentence(text: str, start: str) -> None:
    try:
        found = parse_broker_url(start + text, "broker.url")
    except ValueError as error:
        assert str(error).startswith("broker.url ")  # noqa: PT017 - either is right
    else:
        assert parse_broker_url(f"{found}{found.path}", "broker.url") == found


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("broker = 'mqtt://b'\nca = 'c'", "need TLS: write mqtts:// in place of mqtt://"),
        ("broker = 'ws://b'\ncertificate = 'c'", "need TLS: write wss:// in place of ws://"),
        ("broker = 'mqtts://b'\nkey = 'k'", "link.key is set without link.certificate"),
        ("broker = 'mqtts://b'\nuser = 'u'", "link.user and link.password_file belong together"),
        (
            "broker = 'mqtts://b'\npassword = 'p'",
            "unknown key 'link.password'; did you mean 'password_file'?",
        ),
        ("broker = 'mqtts://b'\nrenew = 'https://c'", "link.renew needs link.certificate"),
        ("renew = 'http://c'", "is not an https:// URL"),
        ("renew = 'https://me:secret@c'", "is more than https://host:port"),
    ],
)
def test_keys_that_do_not_fit(keys: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is compared
        parse_config(f"[agent]\ndevice = 'd'\n[link]\n{keys}\n", name="a.toml")
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_the_configuration_shows_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hush\n")
    keys = f"user = 'me'\npassword_file = '{tmp_path}/password'\n"
    agent = parse_config(f"[agent]\ndevice = 'd'\n[link]\nbroker = 'mqtts://b'\n{keys}", name="a")
    coordinator = parse_coordinator_config(f"[broker]\nurl = 'mqtts://b'\n{keys}", name="c")
    assert "hush" not in to_toml(agent) + to_toml(coordinator)
    assert '"me"' not in to_toml(agent.without_secrets())


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    made = Pki(tmp_path_factory.mktemp("ca") / "pki")
    made.shown("d1")
    made.ledger.close()
    return made


def cannot(shown: Credentials) -> str:
    with pytest.raises(CannotConnect) as caught:
        Connection("mqtts://b", shown, setting="link.broker").arguments()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_can_not_be_used(pki: Pki, tmp_path: Path) -> None:
    good = str(pki.path / "d1.pem")
    words, none = tmp_path / "words", str(tmp_path / "none")
    words.write_text("words")
    words.chmod(0o600)
    assert f"link.ca {none}: No such file or directory" in cannot(Credentials(ca=none))
    assert "it holds no PEM certificate" in cannot(Credentials(ca=str(words)))
    assert f"link.certificate {none}: No such file" in cannot(Credentials(certificate=none))
    assert "it holds no PEM certificate" in cannot(Credentials(certificate=str(words)))
    assert f"link.key {none}: No such file" in cannot(Credentials(certificate=good, key=none))
    assert "no key" in cannot(Credentials(certificate=good, key=str(words)))

    open_key = tmp_path / "open.pem"
    open_key.write_bytes(Path(good).read_bytes())
    open_key.chmod(0o604)
    assert f"open to every user of this machine: chmod 600 {open_key}" in cannot(
        Credentials(certificate=str(open_key))
    )
    other = tmp_path / "other.key"
    other.write_bytes(key_pem(new_key()))
    other.chmod(0o600)
    assert "the key is not this certificate's" in cannot(Credentials(certificate=good, key=str(other)))
    other.write_bytes(
        new_key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    assert "a key that is encrypted" in cannot(Credentials(certificate=good, key=str(other)))


def test_password_files(tmp_path: Path) -> None:
    file = tmp_path / "password"

    def shown() -> Credentials:
        return Credentials(user="me", password_file=str(file))

    assert "link.password_file" in cannot(shown())
    file.write_bytes(b"hush\r\nmore\n")
    file.chmod(0o644)
    assert "open to every user" in cannot(shown())
    file.chmod(0o640)
    arguments = Connection("mqtt://b", shown()).arguments()
    assert (arguments["username"], arguments["password"]) == ("me", "hush")
    for content, sentence in ((b"\nhush", "its first line is empty"), (b"\xff\xfe", "it isn't UTF-8 text")):
        file.write_bytes(content)
        assert sentence in cannot(shown())


def test_no_version_of_tls_below_1_2(pki: Pki) -> None:
    context = Connection("mqtts://b", pki.shown("d1")).tls()
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


async def say_and_hear(connection: Connection) -> None:
    async with connection.client() as client:
        await client.subscribe("here", qos=1)
        payload = b"x" * 70_000  # frames of every length
        await client.publish("here", payload, qos=1)
        async for message in client.messages:
            assert message.payload == payload
            return


async def test_websockets_plain_and_with_tls(mosquitto: Mosquitto, pki: Pki) -> None:
    async with websockets_before(mosquitto.address) as port:
        await say_and_hear(Connection(f"ws://127.0.0.1:{port}"))
    if not (pki.path / "127.0.0.1.pem").exists():
        pki.certificate("server", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.ca)
    tls.load_cert_chain(pki.path / "127.0.0.1.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    async with websockets_before(mosquitto.address, tls) as port:
        await say_and_hear(Connection(f"wss://127.0.0.1:{port}", pki.shown("d1")))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_path_that_is_no_websocket(mosquitto: Mosquitto) -> None:
    async with websockets_before(mosquitto.address) as port:
        with pytest.raises(CannotConnect, match="speaks no MQTT over websockets"):
            async with Connection(f"ws://127.0.0.1:{port}/elsewhere").client():
                pass
    gc.collect()  # paho leaves that socket to it, and says so here rather than in another test


async def test_a_user_with_a_password(mosquitto: Mosquitto, tmp_path: Path) -> None:
    # This broker asks nobody for a password; that it is sent is seen by its taking it.
    file = tmp_path / "password"
    file.write_text("hush\n")
    file.chmod(0o600)
    await say_and_hear(Connection(mosquitto.url, Credentials(user="me", password_file=str(file))))


async def test_an_error_inside_is_not_ours_to_explain(mosquitto: Mosquitto) -> None:
    with pytest.raises(aiomqtt.MqttError) as caught:  # noqa: PT012 - the connection is the story
        async with Connection(mosquitto.url).client() as client:
            mosquitto.kill()
            async for _ in client.messages:
                pass
    assert not isinstance(caught.value, CannotConnect)


@given(st.text(max_size=300))
def test_any_words_of_a_library_make_a_sentence(words: str) -> None:
    said = why_not(words, parse_broker_url("mqtts://b", "link.broker"), "link")
    assert said.startswith("broker mqtts://b:8883: ")


def test_the_doctor_reads_a_certificate(pki: Pki, tmp_path: Path) -> None:
    file = str(pki.path / "d1.pem")
    day_ms = 86_400_000
    for days, level, said in (
        (0, "ok", "days from now"),
        (4, "ok", "days from now"),
        (5, "warning", "days from now"),
        (8, "error", "expired on"),
        (-2, "error", "begins on"),
    ):
        found = certificate_finding(file, now_ms() + days * day_ms)
        assert found.level == level, found
        assert said in found.sentence
    (tmp_path / "words").write_text("words")
    assert "holds no PEM certificate" in certificate_finding(str(tmp_path / "words"), now_ms()).sentence
    assert "No such file" in certificate_finding(str(tmp_path / "none"), now_ms()).sentence


async def test_the_doctor_and_a_guarded_broker(guarded: SecuredMosquitto, tmp_path: Path) -> None:
    clock, shown = HandClock(now_ms()), guarded.pki.shown("d1")

    def look(shown: Credentials) -> dict[str, str]:
        keys = "".join(f"{key} = '{getattr(shown, key)}'\n" for key in ("ca", "certificate"))
        text = f"[agent]\ndevice = 'd1'\n[link]\nbroker = '{guarded.url}'\n{keys}"
        config: Config = parse_config(text, name="a")
        return {found.id: found.level for found in link_findings(config, Tree("/"), clock)}

    assert look(shown) == {"link.ca": "ok", "link.key": "ok", "link.certificate": "ok", "link.broker": "ok"}
    Path(shown.certificate).chmod(0o644)
    assert look(shown)["link.key"] == "error"
    Path(shown.certificate).chmod(0o600)
    other = Pki(tmp_path / "other")
    assert look(guarded.pki.shown("d1", ca=other.ca))["link.broker"] == "warning"
    assert look(guarded.pki.shown("d1", ca="/none"))["link.ca"] == "error"
    other.ledger.close()


async def test_a_certificate_that_is_not_due_is_left_alone(pki: Pki) -> None:
    file = pki.path / "d1.pem"
    text = f"[agent]\ndevice = 'd1'\n[link]\nbroker = 'mqtts://b'\ncertificate = '{file}'\nrenew = 'https://127.0.0.1:1'\n"
    clock = HandClock(now_ms())
    renewal = Renewal(parse_config(text, name="a").link, clock)
    before = file.read_bytes()
    assert (renewal.look(), renewal._failing) == (False, False)
    clock.move(5 * 86_400)
    assert (renewal.look(), renewal._failing) == (False, True), "it is due, and nobody is there"
    assert file.read_bytes() == before
