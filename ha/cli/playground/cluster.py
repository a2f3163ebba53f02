# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster in a playground: bring it up, load a configuration, ask how it stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from lxml import etree

from ha.cib.msg import Write, Written
from ha.cli.idle import await_idle
from ha.cli.playground import control, layout
from ha.cli.playground.layout import Layout, PlaygroundError
from ha.cli.source.cib import SourceError, connect
from ha.crm.msg import GetState, Phase, State, Timeline, WatchTimeline
from ha.ipc.client import Connection, NotConnected

FORM_TIMEOUT_S = 60
ASK_TIMEOUT_MS = 5_000
WRITE_TIMEOUT_MS = 30_000

BASE_CONFIGURATION = """\
<configuration>
  <crm_config>
    <cluster_property_set id="cib-bootstrap-options">
      <nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="true"/>
      <nvpair id="cib-bootstrap-options-stonith-action" name="stonith-action" value="off"/>
    </cluster_property_set>
  </crm_config>
  <resources>
    <primitive id="power-switch" class="stonith" type="fence_playground">
      <instance_attributes id="power-switch-parameters">
        <nvpair id="power-switch-socket" name="socket" value="{socket}"/>
        <nvpair id="power-switch-hosts" name="pcmk_host_list" value="{hosts}"/>
        <nvpair id="power-switch-check" name="pcmk_host_check" value="static-list"/>
      </instance_attributes>
    </primitive>
  </resources>
</configuration>
"""


def up(folder: Path, count: int, profile: layout.Profile, tell: Callable[[str], None]) -> Layout:
    """Make and start a new playground with fencing configured. Raises PlaygroundError."""
    try:
        running = control.is_up(layout.load(folder))
    except PlaygroundError:
        running = False
    if running:
        raise PlaygroundError(f"a playground runs in {folder} already: end it with 'ha playground down --dir {folder}'")
    place = layout.create(folder, count, profile)
    control.start_hub(place)
    began = time.monotonic()
    for node in place.nodes:
        control.order(place, f"on {node}")
    tell(f"{count} nodes have power (profile {profile})")
    await_cluster(place, place.nodes)
    tell(f"they form a cluster after {time.monotonic() - began:.1f} s; the DC is {dc(place)}")
    base = BASE_CONFIGURATION.format(socket=place.hub_socket, hosts=" ".join(place.nodes))
    load_configuration(place, base.encode(), "the playground's own configuration")
    return place


def await_cluster(place: Layout, nodes: tuple[str, ...], timeout_s: float = FORM_TIMEOUT_S) -> None:
    """Until these nodes are in one cluster, and its DC has nothing left to do with the CIB as it is now."""
    deadline = time.monotonic() + timeout_s
    what = f"{' '.join(nodes)} form a cluster and settle; see {place.folder}"
    control.await_condition(lambda: are_in_one_cluster(place, nodes), timeout_s, what)
    try:
        settled = await_idle(place.root(nodes[0]), deadline)
    except NotConnected as error:
        raise PlaygroundError(f"{nodes[0]}: {error}") from error
    if not settled or not are_in_one_cluster(place, nodes):
        raise PlaygroundError(f"it did not happen within {timeout_s:g} s that {what}")


def are_in_one_cluster(place: Layout, nodes: tuple[str, ...]) -> bool:
    """Whether all follow one DC, and all are online in the status that the DC keeps."""
    leaders = {known.dc if known else "" for known in (state(place, node) for node in nodes)}
    if len(leaders) != 1 or "" in leaders:
        return False
    try:
        status = connect(place.root(nodes[0]), "playground").query(xpath="/cib/status/node_state", no_children=True)
    except SourceError:
        return False
    online = {
        entry.get("uname")
        for entry in etree.fromstring(f"<all>{status}</all>").iter("node_state")
        if entry.get("join") == "member" and entry.get("crmd") == "online"
    }
    return online >= set(nodes)


def state(place: Layout, node: str) -> State | None:
    """What the node's crmd says of itself; None when it does not answer."""
    try:
        with Connection.open(place.root(node), "crmd", program="playground", timeout_ms=ASK_TIMEOUT_MS) as crmd:
            answer = crmd.ask(GetState(request_id=crmd.new_request_id()), ASK_TIMEOUT_MS)
    except NotConnected:
        return None
    return answer if isinstance(answer, State) else None


def dc(place: Layout) -> str:
    """The DC by the word of the first node that knows one, "" when none does."""
    for node in place.nodes:
        known = state(place, node)
        if known and known.dc:
            return known.dc
    return ""


def describe(place: Layout, node: str) -> str:
    known = state(place, node)
    if known is None:
        return "its crmd does not answer"
    return f"crmd {known.fsm}, DC {known.dc or 'none'}"


def timeline(place: Layout, node: str) -> list[Phase]:
    """The phases of recent recoveries, as the node's crmd knows them."""
    with Connection.open(place.root(node), "crmd", program="playground") as crmd:
        answer = crmd.ask(WatchTimeline(request_id=crmd.new_request_id()), ASK_TIMEOUT_MS)
    assert isinstance(answer, Timeline), type(answer)
    return answer.phases


def load_configuration(place: Layout, xml: bytes, name: str) -> None:
    """Merge a <cib> or <configuration> into the cluster's. Raises PlaygroundError with the cib's own reason."""
    for node in place.nodes:
        try:
            with Connection.open(place.root(node), "cib", program="playground") as cib:
                request = Write(
                    request_id=cib.new_request_id(),
                    operation="modify",
                    xml=xml.decode(),
                    allow_create=True,
                    origin="playground",
                )
                written = cib.ask(request, WRITE_TIMEOUT_MS)
        except NotConnected:
            continue
        if isinstance(written, Written) and written.outcome == "committed":
            return
        reason = written.reason if isinstance(written, Written) else type(written).__name__
        raise PlaygroundError(f"{name} is refused: {reason}")
    raise PlaygroundError(f"{name} cannot be loaded: no node's cib answers")
