# SPDX-License-Identifier: GPL-2.0-or-later
"""Those who write: every Write that was asked of this node and has no answer yet, and the way to the writer.

A write is handed to the writer's cib, again when the writer changed or was silent for a while (it knows repetitions by
their request_id). A caller waits at most PATIENCE_MS; then it is told "unknown" if the write was ever handed on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ha.ccm.msg import ViewId
from ha.cib.core.context import Caller, Context
from ha.cib.core.readers import Readers
from ha.cib.model.acl import User
from ha.cib.model.refusal import Rc
from ha.cib.msg import Forward, Forwarded, Write, Written
from ha.machine import Client, Instant, Local

PATIENCE_MS = 20_000
REPEAT_MS = 1_000
MAX_WAITING = 4096
MAX_REQUEST_ID_LENGTH = 256
_EARLIER = (None, "")
"""The term of a writer that had the request before its caller gave up and asked again."""


@dataclass(slots=True)
class _Waiting:
    forward: Forward
    callers: dict[Caller, None]
    deadline: Instant
    sent_at: Instant = -1
    handed: dict[tuple[ViewId | None, str], None] = field(default_factory=dict)
    """The terms to whose writers it was given."""


class Callers:
    """`lead` hands a Forward to this node's own writer; it returns False when this node is not (yet) the writer."""

    def __init__(self, context: Context, readers: Readers, lead: Callable[[Forward], bool]) -> None:
        self._context = context
        self._readers = readers
        self._lead = lead
        self._waiting: dict[str, _Waiting] = {}
        self._doubtful: dict[str, None] = {}
        """Requests that were given up as unknown; the oldest are forgotten."""

    def ask(self, caller: Caller, write: Write, user: User) -> None:
        """A Write from a worker or program of this node, with the rights of `user`."""
        refusal = self._refusal(write)
        if refusal is not None:
            self._context.answer(caller, refusal)
            return
        known = self._waiting.get(write.request_id)
        if known is not None:
            known.callers[caller] = None
            return
        program = caller.program if isinstance(caller, Client) else caller.module
        write = _from(write, self._context.node, user)
        forward = Forward(
            write=write, program=program, module=isinstance(caller, Local), groups=user.groups,
            privileged=user.privileged,
        )  # fmt: skip
        waiting = _Waiting(forward, {caller: None}, self._context.now + PATIENCE_MS)
        if not self._waiting:
            self._context.arm("callers", REPEAT_MS)
        if write.request_id in self._doubtful:
            waiting.handed[_EARLIER] = None
        self._waiting[write.request_id] = waiting
        self._route(waiting)

    def _refusal(self, write: Write) -> Written | None:
        reason, rc = "", Rc.OK
        if not write.request_id or len(write.request_id) > MAX_REQUEST_ID_LENGTH:
            rc, reason = Rc.USAGE, f"a request_id has 1 to {MAX_REQUEST_ID_LENGTH} characters"
        elif len(self._waiting) >= MAX_WAITING and write.request_id not in self._waiting:
            rc, reason = Rc.TRY_AGAIN, f"{MAX_WAITING} writes are waiting on this node"
        if rc == Rc.OK:
            return None
        return Written(request_id=write.request_id, outcome="refused", rc=rc, reason=reason)

    def _route(self, waiting: _Waiting) -> None:
        """Hand it to the writer, or refuse it when there can be none."""
        context = self._context
        term = (context.view, context.writer)
        if context.writer and context.writer != context.node:
            waiting.sent_at, waiting.handed[term] = context.now, None
            context.tell(context.writer, waiting.forward)
        elif context.writer and self._is_led(waiting):
            waiting.sent_at = context.now
        elif not self._may_come():
            self._end(waiting, self._without_writer(waiting))

    def _is_led(self, waiting: _Waiting) -> bool:
        """Whether this node's own writer has taken it. The verdict may come within the call."""
        term = (self._context.view, self._context.writer)
        is_new = term not in waiting.handed
        waiting.handed[term] = None
        is_taken = self._lead(waiting.forward)
        if is_new and not is_taken:
            del waiting.handed[term]
        return is_taken

    def _may_come(self) -> bool:
        """Whether a writer may be on its way: ccm sees a quorate view or was not heard yet, or the crmd leads."""
        context = self._context
        if context.writer or not context.ccm_has_spoken:
            return True
        return context.membership is not None and context.membership.quorate

    def _without_writer(self, waiting: _Waiting) -> Written:
        request_id = waiting.forward.write.request_id
        if waiting.handed:
            reason = "the writer was lost before it answered"
            return Written(request_id=request_id, outcome="unknown", rc=Rc.TIMEOUT, reason=reason)
        membership = self._context.membership
        if not self._context.ccm_has_spoken:
            reason = "ccm did not say in time which nodes are in the cluster"
        elif membership is None:
            reason = "this node is in no cluster"
        else:
            reason = "no DC was elected in time" if membership.quorate else "the view has no quorum"
        return Written(
            request_id=request_id, outcome="refused", rc=Rc.QUORUM, reason=f"{reason}: nobody may change the CIB now"
        )

    def writer_changed(self) -> None:
        """Hand everything to the new writer."""
        for waiting in list(self._waiting.values()):
            self._route(waiting)

    def forwarded(self, written: Written) -> None:
        """The writer's verdict has come."""
        waiting = self._waiting.get(written.request_id)
        if waiting is None or written.outcome == "unknown":
            return
        view = self._context.view
        is_blind = written.rc == Rc.QUORUM or view is None or not self._context.quorate(view)
        if written.outcome == "refused" and is_blind and len(waiting.handed) > 1:
            # Without quorum nobody knows what became of it in an earlier term; it may come back when the parts merge.
            reason = f"an earlier writer was lost before it answered; now: {written.reason}"
            written = Written(request_id=written.request_id, outcome="unknown", rc=Rc.TIMEOUT, reason=reason)
        self._end(waiting, written)

    def _end(self, waiting: _Waiting, written: Written) -> None:
        self._waiting.pop(written.request_id, None)
        if written.outcome == "unknown":
            self._doubtful[written.request_id] = None
            while len(self._doubtful) > MAX_WAITING:
                del self._doubtful[next(iter(self._doubtful))]
        else:
            self._doubtful.pop(written.request_id, None)
        for caller in waiting.callers:
            if written.outcome == "committed":
                self._readers.tell_when_shown(caller, written)
            else:
                self._context.answer(caller, written)
        if not self._waiting:
            self._context.disarm("callers")

    def tick(self) -> None:
        """Give up on those that waited too long, repeat what was handed on a while ago."""
        now = self._context.now
        for waiting in list(self._waiting.values()):
            if now >= waiting.deadline:
                self._end(waiting, self._without_writer(waiting))
            elif now - waiting.sent_at >= REPEAT_MS:
                self._route(waiting)
        if self._waiting:
            self._context.arm("callers", REPEAT_MS)

    def forget(self, caller: Caller) -> None:
        """A program has hung up. Its write goes on; nobody waits for the answer."""
        for waiting in self._waiting.values():
            waiting.callers.pop(caller, None)


def _from(write: Write, node: str, user: User) -> Write:
    return msgspec.structs.replace(write, origin=write.origin or node, user=user.name)


def verdict(context: Context, node: str, written: Written, here: Callable[[Written], None]) -> None:
    """Bring the writer's verdict to the cib of the node where the write was asked."""
    if node == context.node:
        here(written)
    else:
        context.tell(node, Forwarded(written=written))
