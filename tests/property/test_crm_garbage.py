# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a peer's crmd or a program says, however senseless, the crmd goes on (P7) and says only what codecs take."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ha.ccm.msg import Member, MembershipEvent, View, ViewId
from ha.cib.msg import Answer, Leading, Query, Version
from ha.crm import msg
from ha.crm.core import Crmd, build
from ha.ipc import codec
from ha.lrm.msg import CancelOperation, ForgetResource, OperationResult, Resource, RunOperation
from ha.machine import Client, Connected, Local, Message, Received, Remote, Reply, Send, Started, Wall

words = st.sampled_from(("", "n1", "n2", "n3", "A", "dc", "monitor", "1:1:0:u", "'\"", "x" * 400, "ä\n&<>"))
numbers = st.sampled_from((-1, 0, 1, 2, 7, 2**40))
ids = st.builds(ViewId, instance=st.sampled_from((0, 1, 2, 9)), coordinator=st.sampled_from(("", "c")))
resources = st.builds(Resource, id=words, agent_class=words, agent_type=words, provider=words)
texts = st.dictionaries(words, words, max_size=2)
results = st.builds(
    OperationResult, resource=resources, operation=words, interval_ms=numbers, call_id=numbers, rc=numbers,
    status=st.sampled_from(("pending", "done", "cancelled", "timeout", "error", "invalid")), exit_reason=words,
    parameters=texts, meta=texts, user_data=words, last_rc_change_s=numbers, deleted=st.booleans(),
)
orders = st.builds(RunOperation, resource=resources, operation=words, interval_ms=numbers, timeout_ms=numbers,
                   parameters=texts, meta=texts, user_data=words, view=st.none() | ids)
whats = st.one_of(
    orders, st.builds(msg.Leave),
    st.builds(CancelOperation, resource_id=words, operation=words, interval_ms=numbers, user_data=words),
    st.builds(ForgetResource, resource_id=words, user_data=words),
)
asks = st.one_of(
    st.builds(msg.GetState, request_id=words, node=words),
    st.builds(msg.Cleanup, request_id=words, resource_id=words, node=words, operation=words, interval_ms=numbers,
              only_failed=st.booleans()),
    st.builds(msg.FailResource, request_id=words, resource_id=words, node=words),
    st.builds(msg.RemoveNode, request_id=words, node=words),
    st.builds(msg.WatchTimeline, request_id=words),
)
from_peers = st.one_of(
    st.builds(msg.AskLeader, view=ids, incarnation=words),
    st.builds(msg.LeaderIs, view=ids, term=numbers, dc=words, established=st.booleans()),
    st.builds(msg.JoinOffer, view=ids, term=numbers, incarnation=words, established=st.booleans()),
    st.builds(msg.JoinRequest, view=ids, term=numbers, incarnation=words, feature_set=words,
              to_established=st.booleans()),
    st.builds(msg.JoinRefuse, view=ids, term=numbers, dc=words),
    st.builds(msg.JoinRelease, view=ids),
    st.builds(msg.JoinAck, view=ids, term=numbers),
    st.builds(msg.JoinConfirm, view=ids, term=numbers, incarnation=words, results=st.lists(results, max_size=2),
              running=st.lists(orders, max_size=1), reported=numbers),
    st.builds(msg.Order, view=ids, term=numbers, transition_key=words, what=whats),
    st.builds(msg.OrderSeen, transition_key=words),
    st.builds(msg.OrderDone, transition_key=words, ok=st.booleans()),
    st.builds(msg.Report, incarnation=words, serial=numbers, result=results),
    st.builds(msg.ReportSeen, incarnation=words, serial=numbers),
    st.builds(msg.Relay, serial=numbers, request=asks),
    st.builds(msg.Relayed, serial=numbers, answer=st.builds(msg.Done, request_id=words)),
)
joins = st.builds(msg.JoinConfirm, view=st.just(ViewId(instance=1, coordinator="c")), term=st.just(1),
                  incarnation=st.just("i"), results=st.lists(results, max_size=3),
                  running=st.lists(orders, max_size=2), reported=st.just(0))
reports = st.builds(msg.Report, incarnation=st.just("i"), serial=st.integers(0, 4), result=results)
heard = st.one_of(
    st.tuples(st.sampled_from(("n2", "n3", "stranger")), from_peers),
    st.tuples(st.just(""), st.one_of(asks, st.builds(msg.ShutdownNode, request_id=words), from_peers)),
)


def running(members: tuple[str, ...]) -> Crmd:
    crmd = build(node="n1", nodes=("n1", "n2", "n3"))
    crmd.step(Started(incarnation="n1-1", seed=1), 1)
    crmd.step(Wall(1_700_000_000_000), 1)
    for link in ("rmd", "heartbeat", "ccm", "cib", "stonithd", "lrmd", "attrd"):
        crmd.step(Connected(Local(link)), 1)
    view = View(id=ViewId(instance=1, coordinator="c"), quorate=True,
                members=tuple(Member(node=n, born_on=1) for n in members))
    crmd.step(Received(Local("ccm"), MembershipEvent(event="NEW_MEMBERSHIP", view=view)), 2)
    if crmd.election.is_dc:
        version = Version(0, 1, 0)
        effects = crmd.step(Received(Local("cib"), Leading(view=view.id, version=version)), 2)
        query = next(e.message for e in effects if isinstance(e, Send) and isinstance(e.message, Query))
        cib = "<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/></cib>"
        crmd.step(Received(Local("cib"), Answer(request_id=query.request_id, xml=cib, version=version)), 2)
        assert crmd.ground.loaded
    return crmd


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(members=st.sampled_from((("n1",), ("n1", "n2"), ("n2", "n1", "n3"))), story=st.lists(heard, max_size=12))
def test_no_message_stops_a_crmd(members: tuple[str, ...], story: list[tuple[str, Message]]) -> None:
    hear(running(members), story)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=st.lists(st.tuples(st.just("n2"), st.one_of(joins, reports)), max_size=12))
def test_no_history_stops_a_dc(story: list[tuple[str, Message]]) -> None:
    crmd = running(("n1",))
    view = View(id=ViewId(instance=1, coordinator="c"), quorate=True,
                members=(Member(node="n1", born_on=1), Member(node="n2", born_on=1)))
    crmd.context.view = view  # n2 is taken in without an election, so that its history is heard
    crmd.election.requested("n2", msg.JoinRequest(view=view.id, term=1, incarnation="i", feature_set="3.19.5"))
    hear(crmd, story)


def hear(crmd: Crmd, story: list[tuple[str, Message]]) -> None:
    for number, (node, message) in enumerate(story):
        sender = Remote(node, "crmd") if node else Client("tool", number, 0)
        for effect in crmd.step(Received(sender, message), 3 + number):
            if isinstance(effect, (Send, Reply)):
                codec.decode(codec.encode(effect.message))
