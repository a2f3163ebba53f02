# SPDX-License-Identifier: GPL-2.0-or-later
"""The production stack: every worker's core, built as its daemon builds it, and the twins of the io adapters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache

import ha.attrd.core
import ha.ccm.core
import ha.cib.core
import ha.crm.core
import ha.lrm.core
import ha.pe.core
import ha.stonith.core
import ha.te.core
from ha.ccm.msg import MembershipEvent, Synchronized, View
from ha.crm.model import FEATURE_SET
from ha.heartbeat import core as heartbeat_core
from ha.heartbeat.model import AuthKeys, HaCf, parse, parse_authkeys
from ha.machine import Effect, Event, Instant, Local, Machine, Received, Send
from ha.recording import Header, RecordingError
from ha.sim.adapters import cib, lrm, pe, register, stonith
from ha.sim.network import PING_ADDRESS
from ha.sim.promises import all_promises
from ha.sim.swarm import Plan
from ha.sim.world import Setup, Stack, WorkerKind, World, Wrap

OLDER_FEATURE_SET = "3.1.0"
KEYS = "auth 1\n1 hmac-sha256 simulated\n"

MEDIA = ("bcast eth0", "bcast eth1")
"""Two rings, as an operator is told to have."""


TIE_BREAKERS = {
    "": (),
    "register": (f"tie_breaker http {register.URL}",),
    "ping": (f"ping {PING_ADDRESS}", f"tie_breaker ping {PING_ADDRESS}"),
}


@lru_cache(maxsize=16)
def ha_cf(nodes: tuple[str, ...], profile: str, media: int, tie_breaker: str = "") -> HaCf:
    lines = [f"node {' '.join(nodes)}", *MEDIA[:media], f"profile {profile}", "crm respawn", *TIE_BREAKERS[tie_breaker]]
    return parse("\n".join(lines) + "\n", "ha.cf")


@lru_cache(maxsize=1)
def keys() -> AuthKeys:
    return parse_authkeys(KEYS, "authkeys")


def settings(setup: Setup) -> HaCf:
    """Options: `profile` default or fast, `media` 1 or 2, `tie_breaker` register or ping."""
    options = setup.options
    return ha_cf(
        setup.nodes, options.get("profile", "default"), int(options.get("media", "1")), options.get("tie_breaker", "")
    )


def _heartbeat(setup: Setup) -> Machine:
    return heartbeat_core.build(node=setup.node, ha_cf=settings(setup), keys=keys(), boot_id=setup.boot_id)


def _ccm(setup: Setup) -> Machine:
    times = settings(setup)
    return ha.ccm.core.build(
        node=setup.node, nodes=setup.nodes, keepalive_ms=times.keepalive_ms, deadtime_ms=times.deadtime_ms,
        initdead_ms=times.initdead_ms, tie_breaker=times.tie_breaker, tie_breaker_wait_ms=times.tie_breaker_wait_ms,
    )  # fmt: skip


def _cib(setup: Setup) -> Machine:
    return ha.cib.core.build(node=setup.node)


def _lrmd(setup: Setup) -> Machine:
    return ha.lrm.core.build(node=setup.node)


def _stonithd(setup: Setup) -> Machine:
    return ha.stonith.core.build(node=setup.node)


def _attrd(setup: Setup) -> Machine:
    return ha.attrd.core.build(node=setup.node)


def _crmd(setup: Setup) -> Machine:
    times = settings(setup)
    return ha.crm.core.build(
        node=setup.node, nodes=setup.nodes, deadtime_ms=times.deadtime_ms, initdead_ms=times.initdead_ms,
        feature_set=OLDER_FEATURE_SET if setup.options.get("older") == setup.node else FEATURE_SET,
        has_tie_breaker=times.tie_breaker is not None, tie_breaker_wait_ms=times.tie_breaker_wait_ms,
    )  # fmt: skip


def _pengine(setup: Setup) -> Machine:
    return ha.pe.core.build()


def _tengine(setup: Setup) -> Machine:
    return ha.te.core.build()


class Listener:
    """In a cluster of the ground alone it stands for all that is above: it hears of every view and lacks nothing."""

    def step(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Received(Local("ccm"), MembershipEvent(view=View(id=view))):
                return [Send(Local("ccm"), Synchronized(view=view))]
        return []


def production(options: dict[str, str]) -> Stack:
    """Options: `profile`, `media`, `tie_breaker`, `older` (the node that runs an older release); `layers=ground` leaves
    all above ccm out.

    Deadlines are as the daemons set them: heartbeat's is a third of deadtime (design section 4).
    """
    deadtime_ms = ha_cf(("n1",), options.get("profile", "default"), 1).deadtime_ms
    ground = (
        WorkerKind("heartbeat", _heartbeat, deadline_ms=deadtime_ms // 3),
        WorkerKind("ccm", _ccm),
    )
    if options.get("layers") == "ground":
        return Stack((*ground, WorkerKind("attrd", lambda setup: Listener())), register.SERVICES)
    above = (
        WorkerKind("cib", _cib),
        WorkerKind("stonithd", _stonithd),
        WorkerKind("lrmd", _lrmd),
        WorkerKind("attrd", _attrd),
        WorkerKind("crmd", _crmd),
        WorkerKind("pengine", _pengine, on_demand=True),
        WorkerKind("tengine", _tengine, on_demand=True),
    )
    twins = (cib.SERVICES, lrm.SERVICES, stonith.SERVICES, pe.SERVICES, register.SERVICES)
    return Stack((*ground, *above), {kind: serve for services in twins for kind, serve in services.items()})


def make_world(names: list[str], options: dict[str, str], seed: int, wrap: Wrap | None = None) -> World:
    world = World(production(options), names, seed=seed, options=options, wrap=wrap)
    world.watch(*all_promises(world))
    return world


def swarm_configuration(plan: Plan) -> list[str]:
    """A single resource, a group, and what orders and keeps apart others.

    With watchdogs stops have so little time that the grace is shorter than the wait for a watchdog: that wait counts.
    """
    stop = " op stop timeout=2s" if plan.watchdog_ms else ""
    fencing = ["primitive fence stonith:fence_switch op monitor interval=60s"] if plan.fencing else []
    return [
        f"property stonith-enabled={'true' if plan.fencing else 'false'}"
        + (" stonith-watchdog-timeout=-1" if plan.watchdog_ms else ""),
        *fencing,
        f"primitive web ocf:heartbeat:Dummy op monitor interval=10s{stop}",
        f"primitive ip ocf:heartbeat:Dummy op monitor interval=5s{stop}",
        f"primitive fs ocf:heartbeat:Dummy op monitor interval=20s{stop}",
        f"primitive db ocf:heartbeat:Dummy meta migration-threshold=3 op monitor interval=15s{stop}",
        "group site ip fs",
        "colocation apart -inf: db web",
        "order after site web",
    ]


BUILDERS: dict[str, Callable[..., Machine]] = {
    "heartbeat": heartbeat_core.build,
    "ccm": ha.ccm.core.build,
    "cib": ha.cib.core.build,
    "stonithd": ha.stonith.core.build,
    "lrmd": ha.lrm.core.build,
    "attrd": ha.attrd.core.build,
    "crmd": ha.crm.core.build,
    "pengine": ha.pe.core.build,
    "tengine": ha.te.core.build,
}


def build_recorded(header: Header) -> Machine:
    """The machine whose steps a recording holds, from the settings in its header. Raises RecordingError."""
    builder = BUILDERS.get(header.worker)
    if builder is None:
        raise RecordingError(f"no core of {header.worker!r} is known here; there are {', '.join(BUILDERS)}")
    wanted = inspect.signature(builder).parameters
    settings = header.settings or ({"node": header.node} if "node" in wanted else {})
    missing = [name for name, p in wanted.items() if p.default is p.empty and name not in settings]
    if missing or not set(settings) <= set(wanted):
        raise RecordingError(f"{header.worker} was recorded with settings {sorted(settings)}, it needs {list(wanted)}")
    return builder(**settings)
