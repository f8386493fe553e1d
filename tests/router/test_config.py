"""The configuration: what is wrong is one sentence that names it."""

import re
from pathlib import Path

import pytest

from tidewatt_router.config import Config, Envoy, Gateway, Haproxy, Nginx, parse_config
from tidewatt_router.routes import Backend, Route
from tidewatt_wire.documents import DocumentError, to_toml

SHIPPED = Path(__file__).parents[2] / "packaging/config/router.toml"
EVERY = Config(
    nginx=Nginx(include="/var/lib/tidewatt-router/nginx/upstreams.conf"),
    haproxy=Haproxy(socket="/run/haproxy/admin.sock"),
    envoy=Envoy(folder="/var/lib/tidewatt-router/envoy"),
    gateway=Gateway(),
    backend=[Backend(name="jetson-1", address="10.0.0.1:8000")],
    route=[Route(name="inference")],
)
TWO = '[[backend]]\nname = "a"\naddress = "h:1"\n[[backend]]\nname = "b"\naddress = "[::1]:2"\n'


def test_the_shipped_one_uncommented_shows_every_key_with_its_default() -> None:
    text = re.sub(r"^# (?=\[|[a-z_]+ = )", "", SHIPPED.read_text(), flags=re.MULTILINE)
    assert parse_config(text, name="router.toml") == EVERY
    for line in to_toml(EVERY).splitlines():
        assert re.search(rf"^{re.escape(line.partition(' = ')[0])}", text, re.MULTILINE), line


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[nginks]", "unknown key 'nginks'; did you mean 'nginx'?"),
        ("[haproxy]", "haproxy: Object missing required field `socket`"),
        ('[router]\nfleet = "a/b"', "router.fleet 'a/b' is not a name"),
        ('[link]\nbroker = "b:1"', "link.broker 'b:1' is not an mqtt://"),
        ('[link]\nbroker = "mqtt://b"\nca = "c"', "link.ca and link.certificate need TLS"),
        ('[link]\npolicy_keys = ["x"]', "'x' is no public key"),
        ('[metrics]\nlisten = "9751"', "metrics.listen '9751' is not host:port"),
        ('[[route]]\nname = "r"', "route 'r' has no backend: add a [[backend]]"),
        (f'{TWO}[[route]]\nname = "r;"', "route.name 'r;' is no name, or stands there twice"),
        (f'{TWO}[[route]]\nname = "r"\n[[route]]\nname = "r"', "stands there twice"),
        (f'{TWO}[[route]]\nname = "r"\nbackends = ["x"]', "route 'r' names the backend 'x'; there are a, b"),
        (f'{TWO}[[route]]\nname = "r"\nbackends = ["a"]\nshed = "b"', "sheds to 'b', which is none of its"),
        (f'{TWO}[[route]]\nname = "r"\nbackends = ["a"]\nshed = "a"', "no backend but the one that it sheds"),
        (f'{TWO}[[backend]]\nname = "a"', "backend 'a' stands there twice"),
        ('[[backend]]\nname = "a"\nserver = "x; y"', "'x; y' has letters that no proxy's name has"),
        ('[[backend]]\nname = "a"\naddress = "h:1; }"', "address 'h:1; }' is not host:port"),
        ('[envoy]\nfolder = "/x"\n[[backend]]\nname = "a"\naddress = "unix:/x"', "is not host:port"),
        ('[nginx]\ninclude = "/x"\nsplit_key = "$a\\" {"', "is no variable; the usual one is"),
    ],
)
def test_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(DocumentError, match=re.escape(sentence)) as caught:
        parse_config(text, name="router.toml")
    assert str(caught.value).startswith("router.toml: ")
    assert "\n" not in str(caught.value)


def test_what_is_right() -> None:
    config = parse_config(f'{TWO}[[route]]\nname = "r"\nshed = "b"\n[nginx]\ninclude = "/x"\n', name="r")
    assert config.route == [Route(name="r", shed="b")]
    config = parse_config(
        '[nginx]\ninclude = "/x"\nsplit_key = "$remote_addr$uri"\n'
        '[[backend]]\nname = "a"\naddress = "unix:/x.sock"',
        name="r",
    )
    assert config.backend[0].address == "unix:/x.sock"
