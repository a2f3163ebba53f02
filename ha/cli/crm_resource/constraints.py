# SPDX-License-Identifier: GPL-2.0-or-later
"""Move, ban and clear: location constraints named cli-prefer-R and cli-ban-R-on-N, as all clients expect them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from lxml.etree import _Element as Element

from ha.cli.crm_resource.listing import running_nodes
from ha.cli.crm_resource.session import OrderError, Session, tell
from ha.cli.exit_codes import Exit
from ha.cli.output.xml_text import quoteattr
from ha.cli.source.durations import DurationError, parse_duration
from ha.pe.model.dates import parse_moment


def move(session: Session) -> int:
    """--move: to --node if given, else away from where it runs."""
    resource = session.resource()
    name = session.options.resource
    here = running_nodes(resource)
    if session.options.node is None:
        if len(here) != 1:
            places = ", ".join(here) or "nowhere"
            raise OrderError(Exit.INVALID_PARAMETER, f"{name} runs on {places}: name the target with --node")
        return ban(session)
    target = session.require_node(session.options.node)
    if here == [target] and not session.options.force:
        tell(f"{name} is already active on {target}")
        return Exit.OK
    _clear(session, name, None)
    _write(session, f"cli-prefer-{name}", name, target, "INFINITY")
    return Exit.OK


def ban(session: Session) -> int:
    """--ban: never on --node (by default where it runs now)."""
    resource = session.resource()
    name = session.options.resource
    if session.options.node is not None:
        target = session.require_node(session.options.node)
    else:
        here = running_nodes(resource)
        if len(here) != 1:
            places = ", ".join(here) or "nowhere"
            raise OrderError(Exit.INVALID_PARAMETER, f"{name} runs on {places}: name the node to ban with --node")
        target = here[0]
    tell(
        f"WARNING: creating constraint 'cli-ban-{name}-on-{target}' with a score of -INFINITY for resource {name} "
        f"on {target}.\n\tThis keeps {name} from running on {target} until it is removed by 'crm_resource --clear' "
        f"(also if {target} is the last node in the cluster)"
    )
    _delete(session, f"cli-prefer-{name}")
    _write(session, f"cli-ban-{name}-on-{target}", name, target, "-INFINITY")
    return Exit.OK


def clear(session: Session) -> int:
    """--clear: drop what --move and --ban left, of --node alone if given, what is over alone with --expired: then also
    of all resources, if none is named."""
    if session.options.resource or not session.options.expired:
        session.resource()
    node = session.require_node(session.options.node) if session.options.node else None
    for constraint in _clear(session, session.options.resource, node, expired=session.options.expired):
        tell(f"Removing constraint: {constraint}")
    return Exit.OK


def _clear(session: Session, name: str | None, node: str | None, *, expired: bool = False) -> list[str]:
    section = session.cluster.document.section("constraints")
    removed = []
    for constraint in section.iterchildren("rsc_location") if section is not None else ():
        identity = str(constraint.get("id"))
        rsc = name or str(constraint.get("rsc"))
        ours = identity == f"cli-prefer-{rsc}" or identity.startswith(f"cli-ban-{rsc}-on-")
        wanted = ours and constraint.get("rsc", rsc) == rsc and _concerns(constraint, node)
        if wanted and (not expired or _is_over(constraint, int(time.time()))):
            _delete(session, identity)
            removed.append(identity)
    return removed


def _is_over(constraint: Element, now_s: int) -> bool:
    """Whether its lifetime has ended: a rule of it ends at a date that has passed."""
    ends = [parse_moment(date.get("end")) for date in constraint.iter("date_expression")]
    return any(end is not None and end <= now_s for end in ends)


def _concerns(constraint: Element, node: str | None) -> bool:
    if node is None or constraint.get("node") == node:
        return True
    values = [str(e.get("value")) for e in constraint.iter("expression")]
    return node in values


def _delete(session: Session, identity: str) -> None:
    session.write("delete", f"<rsc_location id={quoteattr(identity)}/>", scope="constraints")


def _write(session: Session, identity: str, resource: str, node: str, score: str) -> None:
    role = ' role="Promoted"' if session.options.promoted else ""
    lifetime = session.options.lifetime
    if lifetime is None:
        xml = (
            f"<rsc_location id={quoteattr(identity)} rsc={quoteattr(resource)}{role} node={quoteattr(node)} "
            f'score="{score}"/>'
        )
    else:
        xml = _expiring(identity, resource, role, node, score, _end_of(lifetime))
    session.write("modify", f"<constraints>{xml}</constraints>", scope="constraints")


def _end_of(lifetime: str) -> str:
    try:
        end = datetime.now(UTC) + timedelta(seconds=parse_duration(lifetime))
    except DurationError as error:
        raise OrderError(Exit.INVALID_PARAMETER, f"--lifetime {lifetime!r}: {error}") from error
    tell(f"Migration will take effect until: {end:%Y-%m-%d %H:%M:%SZ}")
    return f"{end:%Y-%m-%d %H:%M:%SZ}"


def _expiring(identity: str, resource: str, role: str, node: str, score: str, end: str) -> str:
    def named(suffix: str) -> str:
        return quoteattr(f"{identity}-{suffix}")

    return (
        f"<rsc_location id={quoteattr(identity)} rsc={quoteattr(resource)}{role}>"
        f'<rule id={named("rule")} score="{score}" boolean-op="and">'
        f'<expression id={named("expr")} attribute="#uname" operation="eq" value={quoteattr(node)} type="string"/>'
        f'<date_expression id={named("lifetime")} operation="lt" end={quoteattr(end)}/>'
        "</rule></rsc_location>"
    )
