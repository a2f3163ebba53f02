# SPDX-License-Identifier: GPL-2.0-or-later
"""Who asks: the user behind a connection, as the kernel vouches for the uid, whatever the message says.

Root and the cluster's user may ask with another user's rights (CIB_user); all others are who they are.
"""

from __future__ import annotations

from collections.abc import Callable

from ha.cib.core.context import Caller, Context
from ha.cib.model.acl import WORKER, User
from ha.cib.model.refusal import Rc
from ha.cib.model.store import FindUser
from ha.cib.msg import Answer, Query, Subscribe, Write, Written
from ha.machine import Client, Local

PRIVILEGED_NAMES = ("", "root", "hacluster")
MAX_WAITING = 1024
Request = Write | Query | Subscribe


class Askers:
    """Gives `take` each request with its user. A name that must be looked up holds up its own connection alone."""

    def __init__(self, context: Context, take: Callable[[Caller, Request, User], None]) -> None:
        self._context = context
        self._take = take
        self._known: dict[tuple[Client, str], User] = {}
        self._waiting: dict[str, tuple[Client, str, list[Request]]] = {}
        self._serial = 0

    def ask(self, caller: Caller, request: Request) -> None:
        wanted = "" if isinstance(request, Subscribe) else request.user
        if not isinstance(caller, Client):
            assert isinstance(caller, Local), caller
            self._take(caller, request, WORKER)
        elif caller.uid == 0 and wanted in PRIVILEGED_NAMES:
            self._take(caller, request, User(wanted, privileged=True))
        elif (caller, wanted) in self._known:
            self._take(caller, request, self._known[caller, wanted])
        else:
            self._find(caller, wanted, request)

    def _find(self, caller: Client, wanted: str, request: Request) -> None:
        if sum(len(requests) for _, _, requests in self._waiting.values()) >= MAX_WAITING:
            self._refuse(caller, request, f"{MAX_WAITING} requests wait until it is known who asks")
            return
        for asker, name, requests in self._waiting.values():
            if (asker, name) == (caller, wanted):
                requests.append(request)
                return
        self._serial += 1
        operation = f"user:{self._serial}"
        self._waiting[operation] = (caller, wanted, [request])
        self._context.execute(operation, FindUser(caller.uid, caller.gid, wanted))

    def _refuse(self, caller: Client, request: Request, reason: str) -> None:
        if isinstance(request, Write):
            written = Written(request_id=request.request_id, outcome="refused", rc=Rc.TRY_AGAIN, reason=reason)
            self._context.answer(caller, written)
        elif isinstance(request, Query):
            self._context.answer(caller, Answer(request_id=request.request_id, rc=Rc.TRY_AGAIN, reason=reason))
        else:
            self._context.note("warning", f"{caller.program} may not subscribe: {reason}")

    def finished(self, operation: str, outcome: object) -> None:
        caller, wanted, requests = self._waiting.pop(operation)
        if isinstance(outcome, OSError):
            for request in requests:
                self._refuse(caller, request, f"the user with uid {caller.uid} cannot be looked up: {outcome}")
            return
        assert isinstance(outcome, User), f"no outcome of looking up a user: {outcome!r}"
        self._known[caller, wanted] = outcome
        for request in requests:
            self._take(caller, request, outcome)

    def forget(self, client: Client) -> None:
        for key in [key for key in self._known if key[0] == client]:
            del self._known[key]
