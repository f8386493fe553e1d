"""Lambda: memory and provisioned concurrency; advice on arm64, and on what runs by version or at the edge.

A function's memory is of its unpublished version. Where an alias leads to published ones, and at the edge,
another version would have to be published and traffic moved to it: that is advice. Lambda@Edge has neither
provisioned concurrency nor arm64, and nothing of the kind is ever asked for there.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from decimal import Decimal

from tidewatt_coordinator.levers.aws.client import aws, installed
from tidewatt_coordinator.levers.driver import (
    Context,
    Effect,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.edge.lambda_seen import Seen, concurrency, function, see
from tidewatt_coordinator.levers.edge.lambda_use import (
    INTERPRETED,
    provisioned_gigabyte_seconds,
    right_concurrency,
    right_size,
)
from tidewatt_coordinator.levers.edge.settings import Lambda
from tidewatt_coordinator.levers.standing import expected
from tidewatt_coordinator.money import FINEST
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

SERVICE = "AWS Lambda"
MEMORY, PROVISIONED = "MemorySize", "ProvisionedConcurrency"
#: What a month's figures may be off by.
OFF = Decimal("0.2")
#: A week has all its days.
LEAST_DAYS = 7


class LambdaDriver:
    """See levers/driver.py. Targets are FUNCTION, and FUNCTION:ALIAS for provisioned concurrency."""

    name = "aws_lambda"
    calls = (
        "lambda:ListFunctions",
        "lambda:ListAliases",
        "lambda:GetFunctionConfiguration",
        "lambda:UpdateFunctionConfiguration",
        "lambda:ListProvisionedConcurrencyConfigs",
        "lambda:GetProvisionedConcurrencyConfig",
        "lambda:PutProvisionedConcurrencyConfig",
        "lambda:DeleteProvisionedConcurrencyConfig",
        "application-autoscaling:DescribeScalableTargets",
        "cloudfront:ListDistributions",
        "cloudwatch:GetMetricData",
        "logs:FilterLogEvents",
    )

    def __init__(self, settings: Lambda, book: PriceBook, now_ms: Callable[[], int]) -> None:
        self._settings, self._book, self._now_ms = settings, book, now_ms

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """Every function, and every alias with provisioned concurrency."""
        return [
            Setting(target=name, content=_content(name, seen.now), version=seen.version, facts={"seen": seen})
            for name, seen in see(self._settings, self._now_ms())
        ]

    def read(self, target: str) -> Setting:
        """One function's memory, or one alias's provisioned concurrency."""
        with aws("lambda", self._settings) as client:
            now, version, settled = concurrency(client, target) if ":" in target else function(client, target)
        return Setting(target=target, content=_content(target, now), version=version, settled=settled)

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Less memory, less held ready, the cheaper processor."""
        found: list[Recommendation] = []
        for one in settings:
            seen: Seen = one.facts["seen"]
            if ":" in one.target:
                found += self._provisioned(one, seen, context)
            else:
                found += self._memory(one, seen, context)
                found += self._arm(one, seen, context)
        least = Decimal(str(self._settings.least_usd))
        return [one for one in found if one.saving.middle >= least]

    def send(self, order: Order) -> None:
        """Set it where it is as expected; AWS refuses a revision that is not the one that was read."""
        with aws("lambda", self._settings) as client:
            held = ":" in order.target
            now, version, settled = (concurrency if held else function)(client, order.target)
            if not expected(order.expect, _content(order.target, now)):
                raise Lost(f"{order.target} is not as it was when this was ordered")
            if not settled:
                raise Lost(f"{order.target} is being changed")
            if not held:
                client.call(
                    "UpdateFunctionConfiguration",
                    FunctionName=order.target,
                    RevisionId=version,
                    MemorySize=order.put[MEMORY],
                )
                return
            name, _, qualifier = order.target.partition(":")
            where = {"FunctionName": name, "Qualifier": qualifier}
            count = order.put[PROVISIONED]
            if count is None:
                client.call("DeleteProvisionedConcurrencyConfig", **where)
            else:
                client.call("PutProvisionedConcurrencyConfig", **where, ProvisionedConcurrentExecutions=count)

    def _memory(self, one: Setting, seen: Seen, context: Context) -> list[Recommendation]:
        use = seen.use
        if use is None or use.reports < self._settings.least_reports:
            return []
        size = right_size(use.memory_mb, use.used_mb, self._settings.headroom)
        if size is None:
            return []
        rate, table = self._rate("edge-duration" if seen.edge else use.runtime.duration, context)
        spent = use.gigabyte_seconds * rate
        high = spent * (use.memory_mb - size) / use.memory_mb
        slower = use.memory_mb / size
        evidence = [
            f"of {use.memory_mb} MB at most {use.used_mb} MB were used ({use.source}, {use.reports} times)",
            f"{use.invocations:.0f} calls of {use.duration_ms:.0f} ms a month, {spent:.2f} USD ({table})",
            (
                f"less memory is less processor: they take up to {slower:.2f} times as long, and then"
                " nothing is saved"
            ),
        ]
        advice = seen.edge or bool(seen.aliases)
        if seen.edge:
            evidence.append(
                "it runs at the edge: publish a version with it and associate that with CloudFront"
            )
        elif seen.aliases:
            evidence.append(
                f"publish a version with it and move the aliases {', '.join(seen.aliases)} to that"
            )
        return [
            Recommendation(
                driver=self.name,
                target=one.target,
                service=self._settings.service or SERVICE,
                what=f"give {one.target} {size} MB of memory instead of {use.memory_mb}",
                before={MEMORY: use.memory_mb},
                after={MEMORY: size},
                saving=_saving(Decimal(0), high / 2, high),
                spending=spent.quantize(FINEST),
                disruption=0.01,  # environments are started anew once
                risk="medium",
                evidence=evidence,
                effects={"p95_ms": Effect(factor=slower), "p99_ms": Effect(factor=slower)},
                irreversible=advice,
                selector=Selector(services=[SERVICE]),
            )
        ]

    def _arm(self, one: Setting, seen: Seen, context: Context) -> list[Recommendation]:
        """Another processor needs code that was built for it: advice, and never at the edge."""
        use = seen.use
        if use is None or use.processor == "arm64" or seen.edge or seen.image:
            return []
        now, table = self._rate("duration-x86", context)
        then, _ = self._rate("duration-arm", context)
        spent = use.gigabyte_seconds * now
        saved = use.gigabyte_seconds * (now - then)
        interpreted = seen.runtime.startswith(INTERPRETED)
        evidence = [
            f"{use.gigabyte_seconds:.0f} GB-seconds a month at {then:f} instead of {now:f} USD ({table})",
            "its own code needs no building anew; native packages do"
            if interpreted
            else f"{seen.runtime} code is built anew for it",
        ]
        return [
            Recommendation(
                driver=self.name,
                target=one.target,
                service=self._settings.service or SERVICE,
                what=f"run {one.target} on arm64",
                before={"Architecture": "x86_64"},
                after={"Architecture": "arm64"},
                saving=_saving(saved * (1 - OFF), saved, saved * (1 + OFF)),
                spending=spent.quantize(FINEST),
                disruption=0.01,
                risk="medium",
                evidence=evidence,
                effects=None,
                irreversible=True,
                selector=Selector(services=[SERVICE]),
            )
        ]

    def _provisioned(self, one: Setting, seen: Seen, context: Context) -> list[Recommendation]:
        if seen.edge:  # AWS has none there; if it ever says otherwise it is still not ours to touch
            return []
        wanted = (
            right_concurrency(seen.now or 0, seen.most_used, seen.spilled)
            if seen.days >= LEAST_DAYS
            else None
        )
        if wanted is None or seen.now is None:
            return []
        rate, table = self._rate(f"provisioned-{'arm' if seen.processor == 'arm64' else 'x86'}", context)
        spent = provisioned_gigabyte_seconds(seen.now, seen.memory_mb) * rate
        saved = provisioned_gigabyte_seconds(seen.now - wanted, seen.memory_mb) * rate
        return [
            Recommendation(
                driver=self.name,
                target=one.target,
                service=self._settings.service or SERVICE,
                what=f"hold {wanted} of {one.target} ready instead of {seen.now}",
                before={PROVISIONED: seen.now},
                after={PROVISIONED: wanted or None},
                saving=_saving(saved * (1 - OFF), saved, saved),
                spending=spent.quantize(FINEST),
                disruption=0.01,
                risk="medium",
                evidence=[
                    f"at most {seen.most_used:.0%} of it was used at once in {seen.days} days, and never all",
                    f"{rate:f} USD a GB-second of {seen.memory_mb} MB each ({table})",
                ],
                effects=None if not wanted else {},
                selector=Selector(services=[SERVICE]),
            )
        ]

    def _rate(self, item: str, context: Context) -> tuple[Decimal, str]:
        on = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        found = self._book.find("aws-lambda", item, self._settings.region, on=on)
        if found.table.currency != "USD":
            raise LeverError(
                f"{found.table.name} is in {found.table.currency}, and Lambda's prices are in USD"
            )
        return found.price.marginal(), f"{found.table.name} of {found.table.date}"


def _content(target: str, now: int | None) -> dict[str, int | None]:
    return {PROVISIONED if ":" in target else MEMORY: now}


def _saving(low: Decimal, middle: Decimal, high: Decimal) -> Saving:
    return Saving(low=low.quantize(FINEST), middle=middle.quantize(FINEST), high=high.quantize(FINEST))
