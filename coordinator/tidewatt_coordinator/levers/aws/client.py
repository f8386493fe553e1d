"""Asking AWS: every request is validated against botocore's own model before it is sent; errors by what they
mean.

boto3 is an optional dependency, tidewatt-coordinator[aws]. It doesn't retry here: the engine does, by its
journal.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from tidewatt_coordinator.levers.driver import LeverError, Lost, Probe, Throttled, Unsure
from tidewatt_coordinator.levers.lever import AwsLever

#: Real seconds to connect, and to wait for an answer.
CONNECT_S, ANSWER_S = 5.0, 30.0
THROTTLES = (
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestLimitExceeded",
    "RequestThrottledException", "TooManyRequestsException", "ProvisionedThroughputExceededException",
    "SlowDown", "PriorRequestNotComplete", "LimitExceededException",
)  # fmt: skip
LOST = (
    "PreconditionFailed", "ConditionalRequestConflict", "InvalidIfMatchVersion", "ResourceConflictException",
    "PreconditionFailedException", "HealthCheckVersionMismatch",
    "ConflictException", "OperationAborted", "RevisionIdMismatch", "ResourceInUseException",
)  # fmt: skip
SERVER_ERROR = 500


class Aws:
    """One service of AWS."""

    def __init__(self, service: str, client: Any) -> None:
        self._service, self._client = service, client

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation by the name that AWS gives it, such as GetBucketLifecycleConfiguration.

        Raises Refusal with AWS's code, or Lost, Throttled, Unsure.
        """
        from botocore import xform_name  # noqa: PLC0415 - optional
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        check_request(self._service, operation, parameters)
        try:
            answer: dict[str, Any] = getattr(self._client, xform_name(operation))(**parameters)
        except ClientError as error:
            raise _meaning(error) from error
        except BotoCoreError as error:
            raise _broken(error) from error
        return answer

    def pages(self, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every page of an operation that has them."""
        from botocore import xform_name  # noqa: PLC0415 - optional
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        check_request(self._service, operation, parameters)
        try:
            yield from self._client.get_paginator(xform_name(operation)).paginate(**parameters)
        except ClientError as error:
            raise _meaning(error) from error
        except BotoCoreError as error:
            raise _broken(error) from error


class Refusal(LeverError):
    """AWS said no; nothing was changed."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.code = code


@contextmanager
def aws(service: str, settings: AwsLever) -> Iterator[Aws]:
    """A client while the context lasts. LeverError where AWS can't be asked at all."""
    if installed().ready != "ok":
        raise LeverError(installed().why)
    from botocore.config import Config  # noqa: PLC0415 - optional
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    retries = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=CONNECT_S,
        read_timeout=ANSWER_S,
    )
    try:
        client = _session(settings.profile).client(
            service, region_name=settings.region, endpoint_url=settings.endpoint or None, config=retries
        )
    except (BotoCoreError, ValueError) as error:
        raise LeverError(f"{service}: {error}") from error
    try:
        yield Aws(service, client)
    finally:
        client.close()


def installed() -> Probe:
    """Whether boto3 is there."""
    if importlib.util.find_spec("boto3"):
        return Probe("ok")
    return Probe("no", "AWS can't be asked: install tidewatt-coordinator[aws]")


def check_request(service: str, operation: str, parameters: dict[str, Any]) -> None:
    """LeverError if botocore's model of the service doesn't allow this request. Asks nobody."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - optional
    from botocore.model import OperationNotFoundError  # noqa: PLC0415
    from botocore.validate import ParamValidator  # noqa: PLC0415

    try:
        shape = _model(service).operation_model(operation).input_shape
    except (BotoCoreError, OperationNotFoundError) as error:
        raise LeverError(f"{service} has no operation {operation}: {error}") from error
    if shape is None:
        return
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise LeverError(f"{service} {operation} would be refused: {report.generate_report()}")


@lru_cache(maxsize=32)
def _session(profile: str) -> Any:
    # Kept: one reads the models of its services once, and renews its credentials by itself.
    import boto3  # noqa: PLC0415 - optional

    return boto3.session.Session(profile_name=profile or None)


@lru_cache(maxsize=32)
def _model(service: str) -> Any:
    import botocore.session  # noqa: PLC0415 - optional

    return botocore.session.get_session().get_service_model(service)


def _meaning(error: Any) -> LeverError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in THROTTLES:
        return Throttled(str(error))
    if code in LOST:
        return Lost(str(error))
    if status >= SERVER_ERROR:
        return Unsure(str(error))
    return Refusal(str(error), code)


def _broken(error: Exception) -> LeverError:
    from botocore.exceptions import (  # noqa: PLC0415 - optional
        ConnectionClosedError,
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
    )

    if isinstance(error, (EndpointConnectionError, ConnectTimeoutError)):
        return Throttled(f"nothing was sent: {error}")
    if isinstance(error, (HTTPClientError, ConnectionClosedError)):
        return Unsure(str(error))
    return LeverError(str(error))
