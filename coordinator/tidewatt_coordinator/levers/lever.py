"""What the section of every driver begins with."""

from typing import Annotated, Literal

import msgspec

Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]


class Lever(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One driver. Every driver's section begins with these."""

    enabled: bool = False
    """Whether it looks at all."""
    dry_run: bool = True
    """It proposes and changes nothing, whoever approves."""
    approve: Literal["person", "rule"] = "person"
    """rule: what can be taken back, is of low risk, keeps the promise and has the score needs nobody.
    Routine needs no score."""
    least_score: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """Share saved by share disturbed, for the rule."""
    most_disruption: Ratio = 0.05
    """For the rule."""
    every_s: Annotated[float, msgspec.Meta(ge=1, le=2_592_000)] = 3600.0
    """Between two looks at all its settings."""
    deadline_s: Seconds = 3600.0
    """What does not stand and has not settled by then is taken back."""
    guard_s: Seconds = 3600.0
    """How long the promise is watched before a change is kept."""


class AwsLever(Lever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A driver of AWS. Credentials are found as every AWS tool finds them, never in this file."""

    profile: str = ""
    """Of the AWS configuration; empty: the usual one."""
    region: str = "us-east-1"
    """Where its settings are."""
    endpoint: str = ""
    """Another endpoint than AWS's own."""
