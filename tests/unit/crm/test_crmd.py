# SPDX-License-Identifier: GPL-2.0-or-later
"""One crmd alone: its states, what it refuses, and garbage from programs and peers."""

from __future__ import annotations

import pytest

from ha.ccm.msg import Member, MembershipEvent, View, ViewId
from ha.crm import msg
from ha.crm.core import Crmd, build
from ha.crm.core.context import Context, Settings
from ha.crm.core.fsm import MAY_BECOME, Fsm
from ha.crm.core.join import Candidate
from ha.crm.core.shutdown import active_resources
from ha.heartbeat.msg import Deliver, ModuleStatus
from ha.lrm.msg import OperationResult, Resource
from ha.machine import Client, Connected, Effect, Fired, Local, Lost, Note, Received, Remote, Reply, Send, Started, Wall

VIEW = ViewId(instance=1, coordinator="c")


def crmd(*links: str) -> Crmd:
    machine = build(node="n1", nodes=("n1", "n2", "n3"))
    machine.step(Started(incarnation="n1-1", seed=1), 1)
    machine.step(Wall(1_000_000), 1)
    for link in links or ("rmd", "heartbeat", "ccm", "cib", "stonithd", "lrmd", "attrd"):
        machine.step(Connected(Local(link)), 1)
    return machine


def view(machine: Crmd, *members: str, instance: int = 1) -> list[Effect]:
    found = View(
        id=ViewId(instance=instance, coordinator="c"),
        quorate=len(members) > 1,
        members=tuple(Member(node=n, born_on=1) for n in members),
    )
    event = MembershipEvent(event="NEW_MEMBERSHIP" if found.quorate else "INVALID", view=found)
    return machine.step(Received(Local("ccm"), event), max(2, machine.context.now))


def sent(effects: list[Effect], kind: type) -> list[Send]:
    return [e for e in effects if isinstance(e, Send) and isinstance(e.message, kind)]


def notes(effects: list[Effect]) -> str:
    return "\n".join(e.text for e in effects if isinstance(e, Note))


def test_every_state_can_be_reached_and_left() -> None:
    reached = {"S_STARTING"}
    while True:
        more = reached | {after for state in reached for after in MAY_BECOME[state]}  # type: ignore[index]
        if more == reached:
            break
        reached = more
    assert reached == set(MAY_BECOME)
    assert [state for state, after in MAY_BECOME.items() if not after] == ["S_TERMINATE"]


def test_an_arrival_that_the_table_lacks_is_a_broken_invariant() -> None:
    fsm = Fsm(Context(Settings("n1", ("n1",), 1000, 1000)))
    with pytest.raises(AssertionError, match="S_STARTING => S_IDLE"):
        fsm.become("S_IDLE", "test")


def test_a_node_alone_leads_at_once() -> None:
    machine = crmd()
    view(machine, "n1")
    assert machine.election.is_dc and machine.fsm.state == "S_INTEGRATION"


def test_a_fresh_crmd_asks_before_it_promises() -> None:
    machine = crmd()
    assert {e.to for e in sent(view(machine, "n1", "n2"), msg.AskLeader)} == {Remote("n2", "crmd")}
    offer = msg.JoinOffer(view=VIEW, term=1, incarnation="n2-1", established=False)
    assert sent(machine.step(Received(Remote("n2", "crmd"), offer), 3), msg.JoinRequest) == []
    told = msg.LeaderIs(view=VIEW, term=1, dc="n2", established=False)
    machine.step(Received(Remote("n2", "crmd"), told), 4)
    effects = machine.step(Received(Remote("n2", "crmd"), offer), 5)
    assert len(sent(effects, msg.JoinRequest)) == 1


def test_a_promise_binds_until_the_other_is_gone() -> None:
    machine = crmd()
    view(machine, "n1", "n2", "n3")
    for node in ("n2", "n3"):
        machine.step(Received(Remote(node, "crmd"), msg.LeaderIs(view=VIEW, term=0, dc="", established=False)), 3)
    assert machine.election.role == "candidate", "n1 is the oldest"
    established = msg.JoinOffer(view=VIEW, term=1, incarnation="n2-1", established=True)
    machine.step(Received(Remote("n2", "crmd"), established), 4)
    assert machine.election.leader == "n2" and machine.fsm.state == "S_NOT_DC"
    rival = msg.JoinOffer(view=VIEW, term=9, incarnation="n3-1", established=False)
    effects = machine.step(Received(Remote("n3", "crmd"), rival), 5)
    assert len(sent(effects, msg.JoinRefuse)) == 1
    machine.step(Received(Local("heartbeat"), ModuleStatus(node="n2", module="crmd", up=False)), 6)
    assert len(sent(machine.step(Received(Remote("n3", "crmd"), rival), 7), msg.JoinRefuse)) == 1, "it may still live"
    machine.step(Received(Remote("n2", "crmd"), msg.AskLeader(view=VIEW, incarnation="n2-2")), 8)
    assert machine.election.leader == "" and machine.election.role == "candidate"


def test_a_dc_that_is_gone_for_long_is_not_waited_for() -> None:
    machine = crmd()
    view(machine, "n1", "n2")
    machine.step(Received(Remote("n2", "crmd"), msg.LeaderIs(view=VIEW, term=1, dc="n2", established=True)), 3)
    machine.step(Received(Remote("n2", "crmd"), msg.JoinOffer(view=VIEW, term=1, incarnation="i", established=True)), 4)
    machine.step(Received(Local("heartbeat"), ModuleStatus(node="n2", module="crmd", up=False)), 10)
    machine.step(Fired("election/absent"), 2_009)
    assert machine.election.leader == "n2"
    machine.step(Fired("election/absent"), 2_010)
    assert machine.election.is_dc and machine.election.term == 3


def test_an_offer_of_a_view_to_come_is_kept_for_it() -> None:
    machine = crmd()
    view(machine, "n1")
    later = ViewId(instance=2, coordinator="c")
    offer = msg.JoinOffer(view=later, term=1, incarnation="n2-1", established=True)
    assert sent(machine.step(Received(Remote("n2", "crmd"), offer), 3), msg.JoinRequest) == []
    effects = view(machine, "n2", "n1", instance=2)
    assert len(sent(effects, msg.JoinRequest)) == 1 and machine.election.leader == "n2"


def test_messages_of_strangers_and_of_no_known_kind_are_dropped_with_a_note() -> None:
    machine = crmd()
    view(machine, "n1")
    offer = msg.JoinOffer(view=VIEW, term=9, incarnation="x", established=True)
    assert "no configured node" in notes(machine.step(Received(Remote("evil", "crmd"), offer), 3))
    stray = Deliver(from_node="n2", from_module="crmd", body=b"")
    assert "no message between crmds" in notes(machine.step(Received(Remote("n2", "crmd"), stray), 3))
    assert "nothing for crm_x to say" in notes(machine.step(Received(Client("crm_x", 1, 0), offer), 3))
    assert machine.election.is_dc


def test_a_message_that_no_neighbour_sends_is_a_broken_invariant() -> None:
    with pytest.raises(AssertionError, match="protocol error"):
        crmd().step(Received(Local("lrmd"), msg.Leave()), 3)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="nobody armed"):
        crmd().step(Fired("what/ever"), 3)


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (msg.Cleanup(request_id="r", resource_id="x" * 3000), "newly elected"),
        (msg.FailResource(request_id="r", resource_id="A", node="n9"), "newly elected"),
        (msg.RemoveNode(request_id="r", node="n1"), "newly elected"),
    ],
)
def test_a_dc_without_its_cib_tells_programs_to_try_again(request_: msg.Message, word: str) -> None:
    machine = crmd()
    view(machine, "n1")
    effects = machine.step(Received(Client("t", 1, 0), request_), 3)
    (reply,) = [e.message for e in effects if isinstance(e, Reply)]
    assert isinstance(reply, msg.Done) and reply.rc == 102 and word in reply.reason


def test_without_a_dc_programs_hear_so() -> None:
    effects = crmd().step(Received(Client("t", 1, 0), msg.Cleanup(request_id="r")), 3)
    (reply,) = [e.message for e in effects if isinstance(e, Reply)]
    assert isinstance(reply, msg.Done) and reply.rc == 102 and "no DC" in reply.reason


def test_a_program_that_hung_up_gets_no_answer() -> None:
    machine = crmd()
    view(machine, "n1", "n2")
    client = Client("t", 1, 0)
    machine.step(Received(client, msg.GetState(request_id="r", node="n2")), 3)
    assert len(machine.requests.waiting) == 1
    machine.step(Lost(client), 4)
    assert machine.requests.waiting == {}


def test_relayed_requests_have_a_limit_and_a_deadline() -> None:
    machine = crmd()
    view(machine, "n1", "n2")
    client = Client("t", 1, 0)
    replies: list[Effect] = []
    for number in range(300):
        replies += machine.step(Received(client, msg.GetState(request_id=str(number), node="n2")), 3)
    assert len(machine.requests.waiting) == 256
    assert sum(isinstance(e, Reply) for e in replies) == 300 - 256
    serial = min(machine.requests.waiting)
    effects = machine.step(Fired(f"requests/{serial}"), 6_000)
    assert any(isinstance(e, Reply) for e in effects) and len(machine.requests.waiting) == 255


def test_which_resources_are_active_by_their_last_operation() -> None:
    def of(name: str, operation: str, rc: int, call_id: int) -> OperationResult:
        return OperationResult(
            resource=Resource(id=name, agent_class="ocf", agent_type="D"),
            operation=operation,
            interval_ms=0,
            call_id=call_id,
            rc=rc,
            status="done",
        )

    assert active_resources(
        [
            of("A", "start", 0, 1),
            of("B", "start", 0, 2),
            of("B", "stop", 0, 3),
            of("C", "monitor", 7, 4),
            of("D", "monitor", 0, 5),
            of("E", "stop", 0, 7),
            of("E", "start", 0, 6),
            of("F", "stop", 1, 9),
            of("F", "start", 0, 8),
            of("G", "monitor", 5, 10),
        ]
    ) == {"A", "D", "F"}


def test_the_view_does_not_go_back() -> None:
    machine = crmd()
    view(machine, "n1", instance=5)
    with pytest.raises(AssertionError, match="older view"):
        view(machine, "n1", instance=4)


@pytest.mark.parametrize(("taken", "asked_anew"), [(3, False), (4, True)])
def test_a_member_whose_results_another_dc_took_joins_anew(taken: int, asked_anew: bool) -> None:
    machine = crmd()
    view(machine, "n1")
    machine.join.candidates["n2"] = Candidate("n2-1", "confirmed", reported=3)
    request = msg.JoinRequest(
        view=VIEW, term=machine.election.term, incarnation="n2-1", feature_set="3.19.5", taken=taken
    )
    machine.context.out = []
    machine.join.requested("n2", request)
    assert bool(sent(machine.context.out, msg.JoinAck)) == asked_anew
    assert machine.join.is_confirmed("n2") != asked_anew


def test_what_a_dc_has_taken_ends_before_the_first_report_that_waits() -> None:
    machine = crmd()
    result = OperationResult(
        resource=Resource(id="r", agent_class="ocf", agent_type="Dummy", provider="heartbeat"),
        operation="monitor", interval_ms=0, call_id=1, rc=0, status="done", user_data="k",
    )  # fmt: skip
    assert machine.orders.taken == 0
    for _ in range(3):
        machine.orders.result(result)
    assert machine.orders.taken == 0
    machine.orders.report_seen(msg.ReportSeen(incarnation="n1-1", serial=1))
    assert machine.orders.taken == 1
    machine.orders.history_told()
    assert machine.orders.taken == 3
