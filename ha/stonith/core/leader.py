# SPDX-License-Identifier: GPL-2.0-or-later
"""Fences that this node leads: each from its request through its plan to one answer for everyone who asked.

    held ──► delayed ──► trying ──► over
      no configuration     │  ▲
      yet, or another      └──┘ next executor, next step, next level
      fence of the target

An attempt gets half of the request's time while there is something else to try, all of it otherwise, unless the
device's own pcmk_*_timeout says how long it needs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ha.ccm.msg import ViewId
from ha.machine import Arm, Client, Disarm, Effect, Everyone, Instant, Local, Note, Remote, Reply, Send
from ha.stonith.core.brake import Brake
from ha.stonith.core.history import FenceLog
from ha.stonith.core.plan import Plan, executors, make_plan
from ha.stonith.core.registry import Registry
from ha.stonith.msg import DeviceRan, FenceAction, Fenced, FenceEvent, FenceNode, FenceReport, RunDevice

CRMD = Local("crmd")
EVERY_STONITHD = Everyone("stonithd")
REPEAT_MS = 1_000
"""How often an order to another node is said again until it is answered."""
ATTEMPT_MARGIN_MS = 2_000
"""Beyond the action's time and delay, for the message there and back."""
MAX_REQUESTS = 1_000
"""Fences under way; one more is refused."""
MAX_NAME_LENGTH = 256
"""Of request ids and targets; what a program sends beyond it is refused."""
MAX_ANSWERS = 100
"""Answers kept for requests that are repeated."""
MIN_TIMEOUT_MS = 1_000
CONFIRMATION_VALID_MS = 60_000
"""How long a confirmed fence answers a crmd that has forgotten it, if the target is not seen meanwhile."""
METADATA_PATIENCE_MS = 2_000
"""How long a fence waits for meta-data still being read after a start; an agent may be slow to tell, or never do."""

Asker = Local | Client
RunHere = Callable[[RunDevice, Instant], list[Effect]]


@dataclass(slots=True, eq=False)
class Request:
    """One fence. `askers` are all who asked for the same, with their request ids; the first asked first."""

    key: str
    target: str
    action: FenceAction
    view: ViewId | None
    timeout_ms: int
    askers: list[tuple[Asker, str]]
    deadline_ms: Instant
    target_was_member: bool
    due_ms: Instant = 0  # when its delay is over
    state: Literal["held", "delayed", "trying", "over"] = "held"
    braked: bool = False  # delayed because too many nodes went at once
    plan: Plan | None = None
    level: int = 0
    step: int = 0
    candidates: list[str] = field(default_factory=list)
    attempt: RunDevice | None = None
    executor: str = ""
    attempt_deadline_ms: Instant = 0
    attempts: int = 0
    exec_ms: int = 0
    used: list[tuple[str, str]] = field(default_factory=list)  # device, executor of successful steps
    failures: list[str] = field(default_factory=list)


class Leader:
    def __init__(self, *, node: str, registry: Registry, log: FenceLog, run_here: RunHere) -> None:
        self._node = node
        self._registry = registry
        self._log = log
        self._run_here = run_here
        self._brake = Brake(registry)
        self._requests: dict[str, Request] = {}
        self._answers: OrderedDict[str, Fenced] = OrderedDict()
        self._down: dict[tuple[str, FenceAction], tuple[Fenced, Instant]] = {}  # led here, not seen since
        self.members: tuple[str, ...] = ()
        self._former_members: set[str] = set()
        self.quorate = False
        self.newest_view: ViewId | None = None
        self.wall_offset_ms = 0

    # Requests --------------------------------------------------------------------------------------------------------

    def fence(self, message: FenceNode, asker: Asker, now: Instant) -> list[Effect]:
        known = self._answers.get(_key(asker, message.request_id))
        if known is not None:
            return [_answer(asker, known)]
        if message.view is not None and self.newest_view is not None and message.view < self.newest_view:
            reason = f"its view {message.view.instance} is older than {self.newest_view.instance}"
            return self._refuse(message, asker, reason)
        if not is_name(message.target) or not is_name(message.request_id):
            return self._refuse(message, asker, "target and request id must be printable, 1 to 256 characters")
        down = self._confirmed_down(message, asker, now)
        if down is not None:
            text = f"{message.action} of {message.target} was confirmed a moment ago, and it was not seen since"
            return [Note("notice", text), *self._tell(asker, message.request_id, down)]
        equal = self._under_way(message.target, message.action)
        if equal is not None:
            return self._merge(equal, message, asker, now)
        disarmed = self._brake.disarmed(self._unix_s(now)) if _is_clusters(asker) and message.action != "on" else ""
        if disarmed:
            return self._refuse(message, asker, disarmed)
        if _key(asker, message.request_id) in self._requests:
            return self._refuse(message, asker, f"request {message.request_id} is another one, under way")
        if len(self._requests) >= MAX_REQUESTS:
            return self._refuse(message, asker, f"{MAX_REQUESTS} fences are under way")
        return self._accept(message, asker, now)

    def _merge(self, equal: Request, message: FenceNode, asker: Asker, now: Instant) -> list[Effect]:
        """The same is under way already: one fence answers both. A person's word lets go a fence that is braked."""
        if (asker, message.request_id) in equal.askers:
            return []
        equal.askers.append((asker, message.request_id))
        effects: list[Effect] = [
            Note("info", f"{_who(asker)} too asks for {message.action} of {message.target}, under way")
        ]
        if equal.braked and isinstance(asker, Client):
            equal.due_ms = now
            equal.deadline_ms = now + equal.timeout_ms
            effects += [Disarm(f"begin {equal.key}"), Arm(f"expire {equal.key}", equal.deadline_ms)]
            effects += self.begin(equal.key, now)
        return effects

    def _accept(self, message: FenceNode, asker: Asker, now: Instant) -> list[Effect]:
        timeout_ms = max(MIN_TIMEOUT_MS, message.timeout_ms)
        delay_ms = max(0, message.delay_ms)
        is_lost = _is_clusters(asker) and message.action != "on" and message.target.lower() not in self.members
        brake_ms = self._brake.hold_ms(message.target.lower(), now) if is_lost else 0
        delay_ms = max(delay_ms, brake_ms)
        request = Request(
            key=_key(asker, message.request_id),
            target=message.target.lower(),
            action=message.action,
            view=message.view,
            timeout_ms=timeout_ms,
            askers=[(asker, message.request_id)],
            deadline_ms=now + delay_ms + timeout_ms,
            target_was_member=message.target.lower() in self.members,
            due_ms=now + delay_ms,
            braked=brake_ms > 0,
        )
        self._requests[request.key] = request
        effects: list[Effect] = [
            Note("notice", f"{request.action} of {request.target} is asked for by {_who(asker)}"),
            Arm(f"expire {request.key}", request.deadline_ms),
        ]
        if brake_ms > 0:
            text = (
                f"more nodes were lost at once than fencing-mass-limit: {request.target} is fenced in "
                f"{brake_ms // 1000} s, or at once by stonith_admin --reboot {request.target}; its "
                "resources do not move until then"
            )
            effects.append(Note("error", text))
        if delay_ms > 0:
            request.state = "delayed"
            return [*effects, Arm(f"begin {request.key}", now + delay_ms)]
        return effects + self.begin(request.key, now)

    def _confirmed_down(self, message: FenceNode, asker: Asker, now: Instant) -> Fenced | None:
        """For a crmd that was restarted before it wrote down what it was told. A person's request is always done (P1:
        so is one for a node that is or was a member since, and any without quorum: others may have let it in)."""
        known = self._down.get((message.target.lower(), message.action))
        if known is None or isinstance(asker, Client) or not self.quorate or message.target.lower() in self.members:
            return None
        told, at = known
        return told if now - at < CONFIRMATION_VALID_MS else None

    def _under_way(self, target: str, action: FenceAction) -> Request | None:
        wanted = (target.lower(), action)
        return next((r for r in self._requests.values() if (r.target, r.action) == wanted), None)

    def _refuse(self, message: FenceNode, asker: Asker, reason: str) -> list[Effect]:
        refused = Fenced(
            request_id=message.request_id,
            target=message.target,
            action=message.action,
            ok=False,
            reason=f"refused: {reason}",
        )
        return [Note("warning", f"{message.action} of {message.target} refused: {reason}"), _answer(asker, refused)]

    # The course of one request ---------------------------------------------------------------------------------------

    def begin(self, key: str, now: Instant) -> list[Effect]:
        """Its delay is over, or there never was one. It waits on for a configuration, and for its target's turn."""
        request = self._requests.get(key)
        if request is None or request.state == "trying":
            return []  # the timer had run out when it was disarmed
        request.state = "held"
        request.braked = False
        busy = any(r.target == request.target and r.state == "trying" for r in self._requests.values())
        if busy or not self._registry.known:
            return []
        patience_ms = request.due_ms + METADATA_PATIENCE_MS
        if self._registry.is_reading and now < patience_ms:
            return [Arm(f"begin {key}", patience_ms)]
        request.state = "trying"
        request.plan = make_plan(self._registry, request.target, request.action, self.members)
        request.failures += [f"device {name} of the topology is not configured" for name in request.plan.missing]
        if not request.plan.levels and not request.failures:
            count = len(self._registry.configuration.devices)
            request.failures.append(f"none of {count} fence devices reaches {request.target}")
        return self._enter_step(request, now)

    def begin_held(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        for request in list(self._requests.values()):
            if request.state == "held":
                effects += self.begin(request.key, now)
        return effects

    def _enter_step(self, request: Request, now: Instant) -> list[Effect]:
        assert request.plan is not None
        if request.level >= len(request.plan.levels):
            return self._finish(request, False, now)
        level = request.plan.levels[request.level]
        if request.step >= len(level):
            return self._finish(request, True, now)
        device, action, _ = level[request.step]
        request.candidates = executors(
            self._registry, device, request.target, action, self._node, self.members
        )
        if not request.candidates:
            request.failures.append(f"{device}: no node but the target may use it")
        return self._try_next(request, now)

    def _try_next(self, request: Request, now: Instant) -> list[Effect]:
        assert request.plan is not None
        stale = self._stale_reason(request, now)
        if stale:
            request.failures.append(stale)
            return self._finish(request, False, now)
        device, action, matters = request.plan.levels[request.level][request.step]
        if not request.candidates:
            if matters:
                request.level, request.step = request.level + 1, 0
            else:
                request.step += 1
            return self._enter_step(request, now)
        request.executor = request.candidates.pop(0)
        request.attempts += 1
        left_ms = request.deadline_ms - now
        order = RunDevice(
            # Named by what it is, not by a count: asked again after a restart, the executor knows what it has done.
            key=f"{self._node} {request.key} {request.level}.{request.step} {device} {action}",
            device=device,
            action=action,
            target=request.target,
            timeout_ms=max(1, self._attempt_ms(request, device, action, left_ms)),
            view=request.view,
            confirms=self._confirms(request),
        )
        request.attempt = order
        known = self._registry.device(device)
        delay_ms = max(known.delay_max_ms, known.delay_base_ms(request.target)) if known else 0
        request.attempt_deadline_ms = now + order.timeout_ms + delay_ms + ATTEMPT_MARGIN_MS
        if request.executor == self._node:
            return self._run_here(order, now)
        return [Note("info", f"{order.action} of {order.target} by {device} on {request.executor}"),
                *self.repeat(request.key, now)]  # fmt: skip

    def _confirms(self, request: Request) -> bool:
        """Whether the step is the last that cuts power: what follows, if anything, switches on again."""
        assert request.plan is not None
        _, action, matters = request.plan.levels[request.level][request.step]
        later = request.plan.levels[request.level][request.step + 1 :]
        return matters and action != "on" and not any(other_matters for _, _, other_matters in later)

    def _attempt_ms(self, request: Request, device_id: str, action: FenceAction, left_ms: int) -> int:
        assert request.plan is not None
        device = self._registry.device(device_id)
        levels = request.plan.levels
        is_last = not request.candidates and request.level == len(levels) - 1
        default_ms = left_ms if is_last else left_ms // 2
        return min(left_ms, device.timeout_ms(action, default_ms) if device else default_ms)

    def _stale_reason(self, request: Request, now: Instant) -> str:
        """A target that came back in a newer view is not shot for what happened in the old one; nor does the cluster
        begin another try once fencing is disarmed."""
        disarmed = self._brake.disarmed(self._unix_s(now)) if request.action != "on" else ""
        if disarmed and all(_is_clusters(asker) for asker, _ in request.askers):
            return disarmed
        if request.view is None or self.newest_view is None or request.view >= self.newest_view:
            return ""
        if request.target in self.members and not request.target_was_member:
            return f"{request.target} is a member again"
        return ""

    def repeat(self, key: str, now: Instant) -> list[Effect]:
        """Say the order to the other node, first or again; give up on it at the attempt's deadline."""
        request = self._requests.get(key)
        if request is None or request.attempt is None or request.executor == self._node:
            return []  # the timer had run out when it was disarmed
        if now >= request.attempt_deadline_ms:
            return self._attempt_failed(request, f"{request.executor} did not answer", now)
        order = Send(Remote(request.executor, "stonithd"), request.attempt)
        return [order, Arm(f"repeat {key}", min(now + REPEAT_MS, request.attempt_deadline_ms))]

    def ran(self, message: DeviceRan, executor: str, now: Instant) -> list[Effect]:
        """An executor's answer; a late one, to an attempt that was given up, says nothing new."""
        for request in self._requests.values():
            if request.attempt is not None and request.attempt.key == message.key and request.executor == executor:
                break
        else:
            return []
        request.exec_ms += message.exec_ms
        if not message.ok:
            return self._attempt_failed(request, message.reason, now)
        request.used.append((request.attempt.device, executor))
        request.attempt = None
        request.step += 1
        return [Disarm(f"repeat {request.key}"), *self._enter_step(request, now)]

    def _attempt_failed(self, request: Request, reason: str, now: Instant) -> list[Effect]:
        assert request.attempt is not None
        text = f"{request.attempt.device} on {request.executor}: {reason}"
        request.failures.append(text)
        request.attempt = None
        note = Note("error", f"{request.action} of {request.target}: {text}")
        return [note, Disarm(f"repeat {request.key}"), *self._try_next(request, now)]

    def expire(self, key: str, now: Instant) -> list[Effect]:
        request = self._requests.get(key)
        if request is None:
            return []  # the timer had run out when it was disarmed
        missing = "" if self._registry.known else ": the configuration could not be read"
        request.failures.append(f"not confirmed within {request.timeout_ms} ms{missing}")
        return self._finish(request, False, now)

    # The end ---------------------------------------------------------------------------------------------------------

    def _finish(self, request: Request, ok: bool, now: Instant, device: str = "") -> list[Effect]:
        assert request.state != "over"
        assert not ok or request.used or device, "confirmed by an agent or by a person"
        request.state = "over"
        del self._requests[request.key]
        devices = device or ",".join(dict.fromkeys(device for device, _ in request.used))
        executor = ",".join(dict.fromkeys(executor for _, executor in request.used)) or self._node
        reason = "" if ok else "; ".join(request.failures[-5:])
        at_s = (now + self.wall_offset_ms) // 1000
        told = Fenced(
            request_id=request.askers[0][1], target=request.target, action=request.action, ok=ok,
            device=devices if ok else "", executor=executor, reason=reason, at_s=at_s, exec_ms=request.exec_ms,
        )  # fmt: skip
        effects: list[Effect] = [Disarm(f"{kind} {request.key}") for kind in ("begin", "expire", "repeat")]
        result = f"confirmed by {devices} on {executor}" if ok else f"failed: {reason}"
        effects.append(Note("notice" if ok else "error", f"{request.action} of {request.target} {result}"))
        if ok and request.used and request.action != "on" and request.target not in self.members:
            self._down[(request.target, request.action)] = (told, now)
        if request.action == "on":
            self._forget_down((request.target,))
        for asker, request_id in request.askers:
            effects += self._tell(asker, request_id, told)
        if ok and all(asker != CRMD for asker, _ in request.askers):
            effects.append(Send(CRMD, told))
        event = self._event(request, told)
        effects += [Send(EVERY_STONITHD, FenceReport(fenced=told, event=event)), *self._log.add(event)]
        return effects + self.begin_held(now)

    def _tell(self, asker: Asker, request_id: str, told: Fenced) -> list[Effect]:
        answer = Fenced(
            request_id=request_id, target=told.target, action=told.action, ok=told.ok, device=told.device,
            executor=told.executor, reason=told.reason, at_s=told.at_s, exec_ms=told.exec_ms,
        )  # fmt: skip
        self._answers[_key(asker, request_id)] = answer
        if len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return [_answer(asker, answer)]

    def _event(self, request: Request, told: Fenced) -> FenceEvent:
        return FenceEvent(
            target=told.target,
            action=told.action,
            client=_who(request.askers[0][0]),
            origin=self._node,
            device=told.device,
            executor=told.executor,
            state="success" if told.ok else "failed",
            at_s=told.at_s,
            reason=told.reason,
            exec_ms=told.exec_ms,
        )

    def confirm(self, request_id: str, target: str, asker: Asker, now: Instant) -> list[Effect]:
        """A person vouches that the target is down: whatever was asked for it is answered."""
        if not is_name(target) or not is_name(request_id):
            nameless = Fenced(request_id=request_id, target=target, action="off", ok=False, reason="no name of a node")
            return [_answer(asker, nameless)]
        manual = Request(
            key=f"confirm {_key(asker, request_id)}", target=target.lower(), action="off", view=None, timeout_ms=0,
            askers=[(asker, request_id)], deadline_ms=now, target_was_member=False,
        )  # fmt: skip
        if manual.key in self._requests:
            return []
        self._requests[manual.key] = manual
        waiting = [r for r in self._requests.values() if r.target == manual.target and r.action != "on"]
        effects: list[Effect] = []
        for request in [manual, *(r for r in waiting if r is not manual)]:
            if request.state != "over":
                effects += self._finish(request, True, now, device="a person's word")
        return effects

    # Membership ------------------------------------------------------------------------------------------------------

    def members_changed(self, now: Instant) -> list[Effect]:
        """An order to a node that has left will not be answered. Who comes from another partition may have let in a
        node that was fenced for us, and lost it since (P1)."""
        if not set(self.members) <= self._former_members:
            self._down.clear()
        self._former_members = set(self.members)
        self._forget_down(self.members)
        self._brake.seen(self.members)
        effects: list[Effect] = []
        for request in list(self._requests.values()):
            if request.braked and request.target in self.members:
                request.failures.append(f"{request.target} is a member again")
                effects += self._finish(request, False, now)
                continue
            gone = request.executor != self._node and request.executor not in self.members
            if request.attempt is not None and gone:
                effects += self._attempt_failed(request, f"{request.executor} has left the cluster", now)
        return effects

    def _forget_down(self, seen: tuple[str, ...]) -> None:
        self._down = {key: known for key, known in self._down.items() if key[0] not in seen}

    def executor_is_back(self, node: str, now: Instant) -> list[Effect]:
        """A stonithd that was restarted may have lost what it was told."""
        self._forget_down((node,))
        effects: list[Effect] = []
        for request in list(self._requests.values()):
            if request.attempt is not None and request.executor == node != self._node:
                effects += self.repeat(request.key, now)
        return effects

    def held(self) -> list[str]:
        """Targets that the brake holds back."""
        return sorted(request.target for request in self._requests.values() if request.braked)

    def _unix_s(self, now: Instant) -> float:
        return (now + self.wall_offset_ms) / 1_000

    def pending(self, now: Instant) -> list[FenceEvent]:
        at_s = (now + self.wall_offset_ms) // 1000
        return [
            FenceEvent(
                target=request.target, action=request.action, client=_who(request.askers[0][0]), origin=self._node,
                device=request.attempt.device if request.attempt else "", executor=request.executor, state="pending",
                at_s=at_s,
            )
            for request in self._requests.values()
        ]  # fmt: skip


def is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable()


def _answer(asker: Asker, message: Fenced) -> Effect:
    return Reply(asker, message) if isinstance(asker, Client) else Send(asker, message)


def _key(asker: Asker, request_id: str) -> str:
    """A program cannot lay claim to a request of the crmd's by choosing its id."""
    return f"{'program' if isinstance(asker, Client) else asker.module} {request_id}"


def _is_clusters(asker: Asker) -> bool:
    """Whether the cluster asks, not a person or program."""
    return not isinstance(asker, Client)


def _who(asker: Asker) -> str:
    return asker.program if isinstance(asker, Client) else asker.module
