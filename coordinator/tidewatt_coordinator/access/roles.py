"""Roles, and the caller as a route sees him. Pure."""

from typing import Literal, get_args

import msgspec

Role = Literal["viewer", "operator", "approver", "admin"]
#: The lowest first; each may do all that those before it may.
ROLES: tuple[Role, ...] = get_args(Role)

ANYWHERE: tuple[str, ...] = ()


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, as `request.state.actor` has it, and as the audit keeps it."""

    id: str
    """A key's id, a provider's subject, or "anonymous"."""
    kind: Literal["key", "oidc", "anonymous"]
    role: Role
    sites: tuple[str, ...] = ANYWHERE
    """The sites that he is bound to; empty: to none, he may see them all."""
    name: str = ""
    """What people call him; says nothing about what he may."""

    @property
    def called(self) -> str:
        """How a journal names him."""
        return f"{self.kind} {self.id}" + (f" ({self.name})" if self.name else "")

    def sees(self, site: str) -> bool:
        """Whether he may see this site."""
        return not self.sites or site in self.sites


ANONYMOUS = Actor(id="anonymous", kind="anonymous", role="viewer")


def reaches(role: Role, least: Role) -> bool:
    """Whether a role may do what asks for at least another."""
    return ROLES.index(role) >= ROLES.index(least)


def highest(found: list[Role]) -> Role | None:
    """The greatest of some roles; None of none."""
    return max(found, key=ROLES.index, default=None)
