"""Looking at Lambda: functions, their aliases, what CloudWatch says of them, and which run at the edge."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tidewatt_coordinator.levers.aws.client import Aws, Refusal, aws
from tidewatt_coordinator.levers.aws.cloudwatch import Asked, daily
from tidewatt_coordinator.levers.driver import LeverError
from tidewatt_coordinator.levers.edge.lambda_use import Processor, Use, reports
from tidewatt_coordinator.levers.edge.settings import Lambda

#: REPORT lines that are read of one function.
MOST_REPORTS = 5000
MONTH_DAYS = 30
DAY_MS = 86_400_000


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A function, or an alias with provisioned concurrency."""

    now: int | None
    """MB of memory, or what is held ready."""
    version: str = ""
    memory_mb: int = 0
    processor: Processor = "x86_64"
    runtime: str = ""
    image: bool = False
    edge: bool = False
    """Whether CloudFront runs it."""
    aliases: list[str] = []
    """Those that lead to published versions."""
    use: Use | None = None
    days: int = 0
    """On which the use of what is held ready was measured."""
    most_used: float = 0.0
    spilled: float = 0.0


def see(settings: Lambda, now_ms: int) -> Iterator[tuple[str, Seen]]:
    """All that are to be looked at, by target."""
    with aws("cloudfront", settings) as cloudfront:
        edge = set(_at_the_edge(cloudfront))
    with (
        aws("lambda", settings) as client,
        aws("cloudwatch", settings) as watch,
        aws("logs", settings) as logs,
        aws("application-autoscaling", settings) as scaling,
    ):
        found = [one for page in client.pages("ListFunctions") for one in page["Functions"]]
        for one in sorted(found, key=lambda each: str(each["FunctionName"])):
            name = one["FunctionName"]
            if settings.functions and name not in settings.functions:
                continue
            here = Seen(
                now=one["MemorySize"],
                version=one.get("RevisionId", ""),
                memory_mb=one["MemorySize"],
                processor=(one.get("Architectures") or ["x86_64"])[0],
                runtime=one.get("Runtime", ""),
                image=one.get("PackageType") == "Image",
                edge=name in edge,
                aliases=_aliases(client, name),
            )
            use = _use(watch, logs, name, here, settings.days, now_ms)
            yield name, msgspec.structs.replace(here, use=use)
            if not here.edge:
                yield from _held(client, scaling, watch, name, here, settings.days, now_ms)


def function(client: Aws, target: str) -> tuple[int | None, str, bool]:
    """Its memory, revision, and whether the last change is through."""
    got = client.call("GetFunctionConfiguration", FunctionName=target)
    return (
        got["MemorySize"],
        got.get("RevisionId", ""),
        got.get("LastUpdateStatus", "Successful") == "Successful",
    )


def concurrency(client: Aws, target: str) -> tuple[int | None, str, bool]:
    """What an alias holds ready (None: nothing is configured), no revision, and whether it is ready."""
    name, _, qualifier = target.partition(":")
    try:
        got = client.call("GetProvisionedConcurrencyConfig", FunctionName=name, Qualifier=qualifier)
    except Refusal as error:
        if error.code == "ProvisionedConcurrencyConfigNotFoundException":
            return None, "", True
        raise
    if got["Status"] == "FAILED":
        raise LeverError(f"{target}: {got.get('StatusReason', 'its provisioned concurrency failed')}")
    return got["RequestedProvisionedConcurrentExecutions"], "", got["Status"] == "READY"


def _at_the_edge(cloudfront: Aws) -> Iterator[str]:
    for page in cloudfront.pages("ListDistributions"):
        for one in page["DistributionList"].get("Items", []):
            behaviours = [one["DefaultCacheBehavior"], *one.get("CacheBehaviors", {}).get("Items", [])]
            for behaviour in behaviours:
                for each in behaviour.get("LambdaFunctionAssociations", {}).get("Items", []):
                    yield each["LambdaFunctionARN"].split(":")[6]


def _aliases(client: Aws, name: str) -> list[str]:
    pages = client.pages("ListAliases", FunctionName=name)
    found = [one for page in pages for one in page["Aliases"]]
    return sorted(one["Name"] for one in found if one["FunctionVersion"] != "$LATEST")


def _use(watch: Aws, logs: Aws, name: str, here: Seen, days: int, now_ms: int) -> Use | None:
    """Insights where the function has it, else its log's REPORT lines of its present size."""
    of = (("FunctionName", name),)
    calls = Asked("AWS/Lambda", "Invocations", "Sum", of)
    spent = Asked("AWS/Lambda", "Duration", "Sum", of)
    peak = Asked("LambdaInsights", "used_memory_max", "Maximum", (("function_name", name),))
    count = Asked("LambdaInsights", "used_memory_max", "SampleCount", (("function_name", name),))
    values = daily(watch, [calls, spent, peak, count], days, now_ms)
    invocations = sum(values[calls])
    if not invocations:
        return None
    if values[peak]:
        used, seen, source = max(values[peak]), sum(values[count]), "Lambda Insights"
    else:
        lines = [
            used for size, used in reports(_report_lines(logs, name, days, now_ms)) if size == here.memory_mb
        ]
        used, seen, source = max(lines, default=0), len(lines), "REPORT lines"
    return Use(
        memory_mb=here.memory_mb,
        used_mb=round(used),
        reports=round(seen),
        source=source,
        invocations=invocations * MONTH_DAYS / (days + now_ms % DAY_MS / DAY_MS),  # `daily` has today's, too
        duration_ms=sum(values[spent]) / invocations,
        processor=here.processor,
    )


def _report_lines(logs: Aws, name: str, days: int, now_ms: int) -> Iterator[str]:
    count = 0
    asked: dict[str, Any] = {
        "logGroupName": f"/aws/lambda/{name}",
        "filterPattern": "REPORT",
        "startTime": now_ms - days * DAY_MS,
    }
    try:
        for page in logs.pages("FilterLogEvents", **asked):
            for event in page["events"]:
                yield event["message"]
                count += 1
            if count >= MOST_REPORTS:
                return
    except Refusal as error:
        if error.code != "ResourceNotFoundException":
            raise


def _held(
    client: Aws, scaling: Aws, watch: Aws, name: str, here: Seen, days: int, now_ms: int
) -> Iterator[tuple[str, Seen]]:
    """Aliases with provisioned concurrency; none that Application Auto Scaling sets: that isn't ours."""
    for page in client.pages("ListProvisionedConcurrencyConfigs", FunctionName=name):
        for one in page["ProvisionedConcurrencyConfigs"]:
            qualifier = one["FunctionArn"].split(":")[-1]
            of = (("FunctionName", name), ("Resource", f"{name}:{qualifier}"))
            scaled = scaling.call(
                "DescribeScalableTargets",
                ServiceNamespace="lambda",
                ResourceIds=[f"function:{name}:{qualifier}"],
            )
            if scaled["ScalableTargets"]:
                continue
            used = Asked("AWS/Lambda", "ProvisionedConcurrencyUtilization", "Maximum", of)
            spilled = Asked("AWS/Lambda", "ProvisionedConcurrencySpilloverInvocations", "Sum", of)
            values = daily(watch, [used, spilled], days, now_ms)
            yield (
                f"{name}:{qualifier}",
                msgspec.structs.replace(
                    here,
                    now=one["RequestedProvisionedConcurrentExecutions"],
                    version="",
                    days=len(values[used]),
                    most_used=max(values[used], default=0.0),
                    spilled=sum(values[spilled]),
                ),
            )
