"""Who acts at this moment. A command's user, a request's caller, or the coordinator itself.

Everything that is changed asks here, so that no caller can leave it out, or say it is somebody else: what
a command's `--by` claims is kept beside it and never in its place.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

ANONYMOUS = "anonymous"


class Actor(NamedTuple):
    """Who."""

    id: str
    kind: str
    """user (of the operating system), coordinator, device, or what a key or session of REST is."""
    role: str = ""


class Call(NamedTuple):
    """A request over REST; its `state` has the actor as soon as somebody has found out."""

    request_id: str
    state: Mapping[str, Any]


#: The request that is being answered, if it is one.
called: ContextVar[Call | None] = ContextVar("called", default=None)
_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


def actor() -> Actor:
    """Who acts now."""
    call = called.get()
    if call is not None:
        who = call.state.get("actor")
        if who is None:
            return Actor(ANONYMOUS, ANONYMOUS)
        return Actor(*(str(getattr(who, name, "")) for name in Actor._fields))
    return _acting.get() or Actor(login(), "user")


def request_id() -> str:
    """The id of the request that is being answered; empty outside of one."""
    call = called.get()
    return call.request_id if call else ""


def act_as(who: Actor) -> None:
    """From now on, in this task and those it starts: a coordinator's work is its own, not its user's."""
    _acting.set(who)


@contextmanager
def acting(who: Actor) -> Iterator[None]:
    """In between: what a device or a watcher brought about."""
    call, before = called.set(None), _acting.set(who)
    try:
        yield
    finally:
        _acting.reset(before)
        called.reset(call)


def login() -> str:
    """The operating system's user by its number: LOGNAME in the environment is anybody's to set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
