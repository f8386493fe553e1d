"""What is wrong with the configuration of costs is one sentence at the start."""

import pytest

from tidewatt_coordinator.config import parse_config
from tidewatt_wire.documents import DocumentError

INVOICE = "[[costs.invoices]]\nmonth = '2026-10'\namount = '10.00'\n"
BUDGET = "[[budgets]]\nname = 'b'\namount = 1\n"
MAIL = "[[alerts.email]]\nname = 'm'\nserver = 'h:1'\nsender = 'a@b'\nto = ['b@c']\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            INVOICE + INVOICE.replace("10.00", "7"),
            "costs.invoices[0] (10.00) and costs.invoices[1] (7) are both of 2026-10 in USD: write their sum",
        ),
        (INVOICE.replace("-10", "-13"), "costs.invoices[0].month: '2026-13' is no month"),
        (INVOICE.replace("10.00", "much"), "costs.invoices[0].amount: 'much' is no number"),
        (INVOICE + "currency = 'dollars'", "costs.invoices[0].currency: 'dollars' is no currency code"),
        ("[costs.opencost]\nurl = 'opencost:9003'", "costs.opencost.url 'opencost:9003' is not an http://"),
        ("[costs.prometheus]\nurl = 'http://'", "costs.prometheus.url 'http://' is not an http://"),
        ("[costs.prometheus]\ncurrency = 'usd'", "costs.prometheus.currency: 'usd' is written USD"),
        ("[costs.cost_explorer]\nenabled = true\ngroup_by = ['SERVCE']", "'SERVCE' is none of"),
        ("[costs.aws_budgets]\naccount = '12'", "'12' has not the 12 digits of an AWS account"),
        (BUDGET + "currency = 'dollars'", "budget b: currency: 'dollars' is no currency code such as USD"),
        (BUDGET + "currency = 'usd'", "budget b: currency: 'usd' is written USD"),
        (
            BUDGET + "service = 'AWS Lambda'\nsite = 'oakland'",
            "budget b: no charge can match: site is of the edge, whose services are Edge Electricity, Edge",
        ),
        ("[anomalies]\nfloor = '-1'", "anomalies.floor -1 is not an amount from zero on"),
        ("[anomalies]\nfloor = 'nan'", "anomalies.floor NaN is not an amount"),
        (MAIL + "user = 'me'", "alerts.email m: it has user and no password_file"),
        (MAIL + "password_file = '/x'", "alerts.email m: it has password_file and no user"),
    ],
)
def test_it_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_config(text, name="c.toml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_looks_alike_and_is_right() -> None:
    text = INVOICE + INVOICE + "currency = 'EUR'\n" + INVOICE.replace("-10", "-09")
    assert len(parse_config(text, name="c.toml").costs.invoices) == 3
    edge = BUDGET + "service = 'Edge Electricity'\nsite = 'oakland'\n"
    assert parse_config(edge + MAIL, name="c.toml").budgets[0].labels == {"site": "oakland"}
