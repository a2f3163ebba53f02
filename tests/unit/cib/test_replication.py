# SPDX-License-Identifier: GPL-2.0-or-later
"""Replication step by step: becoming the writer, writing, losing workers and nodes, splitting and merging."""

from __future__ import annotations

import pytest

from ha.ccm.msg import MembershipEvent
from ha.cib.core.writer import Phase
from ha.cib.model.refusal import Rc
from ha.cib.model.store import AppendRecords, PublishCib
from ha.cib.msg import Changed, Query, Version, Write, Written
from ha.machine import Connected, Local, Received
from tests.unit.cib.world import CLIENT, World


def three(quorate: bool | None = None) -> World:
    world = World("n1", "n2", "n3")
    world.settle()
    world.view("n1", "n2", "n3", quorate=quorate)
    world.settle()
    return world


def test_a_first_start_shows_an_empty_cib_and_then_leads() -> None:
    world = World("n1", "n2", "n3")
    world.settle()
    assert world.digests() == {(Version(0, 0, 0), world.nodes["n1"].core.digest)}  # type: ignore[union-attr]
    view = world.view("n1", "n2", "n3")
    world.settle()
    assert [leading.view for leading in world.leading("n1")] == [view]
    assert world.leading("n1")[0].version == Version(0, 1, 0)
    assert len(world.digests()) == 1


def test_a_write_is_on_every_node_before_it_is_acknowledged() -> None:
    world = three()
    request = world.option("n1", "stonith-enabled", "false")
    while world.nodes["n1"].written(request) is None:
        world.happen(world.choices()[0])
        held = [node.disk.synced for node in world.nodes.values()]
    assert all(any(b"stonith-enabled" in record for record in n.disk.records) for n in world.nodes.values()), held
    world.settle()
    assert len(world.digests()) == 1
    assert world.nodes["n1"].written(request).version == Version(0, 2, 0)  # type: ignore[union-attr]


def test_a_write_asked_of_a_member_goes_to_the_writer_and_back() -> None:
    world = three()
    request = world.option("n3", "stonith-enabled", "false")
    world.settle()
    written = world.nodes["n3"].written(request)
    assert written is not None
    assert written.outcome == "committed"
    core = world.nodes["n3"].core
    assert core is not None
    assert core.version == written.version


def test_status_raises_num_updates_and_configuration_the_epoch() -> None:
    world = three()
    world.node_state("n2", "online")
    world.settle()
    assert {version for version, _ in world.digests()} == {Version(0, 1, 1)}
    world.option("n2", "a", "b")
    world.settle()
    assert {version for version, _ in world.digests()} == {Version(0, 2, 0)}


def test_ccm_is_told_that_a_node_has_all_when_that_is_durable_and_after_each_restart_of_ccm() -> None:
    world = World("n1", "n2")
    world.settle()
    world.nodes["n2"].disk.is_full = True
    view = world.view("n1", "n2")
    world.settle()
    assert [world.nodes[name].synchronized for name in ("n1", "n2")] == [[], []]
    world.nodes["n2"].disk.is_full = False
    world.settle()
    assert [world.nodes[name].synchronized for name in ("n1", "n2")] == [[view], [view]]
    world.nodes["n2"].step(Connected(Local("ccm")))
    assert world.nodes["n2"].synchronized == [view, view]


def test_a_refusal_says_why() -> None:
    world = three()
    request = world.write("n2", Write(
        request_id="", operation="create", scope="resources", xml="<resources>\n<primitive id='x'/>\n</resources>"
    ))  # fmt: skip
    world.settle()
    written = world.nodes["n2"].written(request)
    assert written is not None
    assert (written.outcome, written.rc) == ("refused", Rc.CONFIG)
    assert written.reason == "line 2, <primitive id=\"x\">: lacks 'class' and 'type', or 'template'"
    assert len(world.digests()) == 1


def test_a_repeated_request_is_answered_not_done_again() -> None:
    world = three()
    write = Write(request_id="same", operation="bump")
    world.write("n2", write)
    world.settle()
    first = world.nodes["n2"].written("same")
    world.view("n2", "n3", writer="n3")
    world.settle()
    world.write("n2", write)
    world.settle()
    second = world.nodes["n2"].written("same")
    assert first is not None
    assert second is not None
    assert second.version == first.version
    assert {version for version, _ in world.digests("n2", "n3")} == {Version(0, 3, 0)}


def test_without_quorum_only_the_cluster_itself_writes_and_only_status() -> None:
    world = three()
    world.view("n3")
    world.settle()
    configuration = world.option("n3", "a", "b")
    by_hand = world.node_state("n3", "offline", caller=CLIENT)
    own = world.node_state("n3", "online")
    world.settle()
    node = world.nodes["n3"]
    for refused in (configuration, by_hand):
        written = node.written(refused)
        assert written is not None
        assert (written.outcome, written.rc) == ("refused", Rc.QUORUM)
    written = node.written(own)
    assert written is not None
    assert written.outcome == "committed"


def test_partitions_without_quorum_never_have_the_same_version() -> None:
    world = three()
    for name in ("n1", "n2", "n3"):
        world.view(name)
        world.settle()
        world.node_state(name, "online")
        world.settle()
    assert len({version for version, _ in world.digests()}) == 3  # World.saw checks their bytes


def test_a_merge_takes_the_quorate_cib_and_keeps_what_it_drops() -> None:
    world = three()
    world.option("n1", "kept", "yes")
    world.settle()
    world.view("n1")
    world.view("n2", "n3")
    world.settle()
    world.option("n2", "later", "yes")
    world.node_state("n1", "alone")
    world.settle()
    world.view("n1", "n2", "n3")
    world.settle()
    assert len(world.digests()) == 1
    assert b"later" in world.nodes["n1"].disk.shown
    assert b"alone" not in world.nodes["n1"].disk.shown
    assert len(world.nodes["n1"].disk.dropped) == 1


def test_a_node_that_is_out_of_the_cluster_refuses_at_once() -> None:
    world = World("n1", "n2", "n3")
    world.settle()
    world.nodes["n1"].receive(Local("ccm"), MembershipEvent(event="EVICTED", view=None))
    request = world.option("n1", "a", "b")
    written = world.nodes["n1"].written(request)
    assert written is not None
    assert (written.outcome, written.rc) == ("refused", Rc.QUORUM)
    assert "in no cluster" in written.reason


def test_a_cib_that_just_started_keeps_a_write_until_ccm_has_spoken() -> None:
    world = three()
    n2 = world.nodes["n2"]
    n2.kill()
    n2.start()
    request = world.option("n2", "a", "b")
    world.settle()
    assert n2.written(request) is None
    world.introduce("n2")
    world.settle()
    written = n2.written(request)
    assert written is not None
    assert written.outcome == "committed"


def test_a_write_is_refused_in_time_when_ccm_says_nothing() -> None:
    world = World("n1", "n2", "n3")
    world.settle()
    request = world.option("n1", "a", "b")
    world.settle(seconds=30)
    written = world.nodes["n1"].written(request)
    assert written is not None
    assert (written.outcome, written.rc) == ("refused", Rc.QUORUM)
    assert "ccm did not say" in written.reason


def test_a_write_waits_for_the_election_of_a_quorate_view() -> None:
    world = three()
    world.view("n2", "n3", writer="n3")
    request = world.option("n2", "a", "b")
    world.settle()
    written = world.nodes["n2"].written(request)
    assert written is not None
    assert written.outcome == "committed"


def test_the_fate_of_a_write_is_unknown_when_the_writer_stays_away() -> None:
    world = three()
    world.nodes["n1"].kill()
    request = world.option("n2", "a", "b")
    world.settle(seconds=60)
    written = world.nodes["n2"].written(request)
    assert written is not None
    assert written.outcome == "unknown"


def test_a_member_restarted_between_two_writes_catches_up() -> None:
    world = three()
    world.option("n1", "a", "1")
    world.settle()
    world.nodes["n2"].kill()
    request = world.option("n1", "b", "2")
    world.settle()
    assert world.nodes["n1"].written(request) is None
    world.restart("n2")
    world.settle()
    assert world.nodes["n1"].written(request) is not None
    assert len(world.digests()) == 1


def test_a_restarted_writer_takes_up_where_it_was() -> None:
    world = three()
    request = world.option("n2", "a", "1")
    while not world.nodes["n2"].disk.records or b'"a"' not in world.nodes["n2"].disk.records[-1]:
        world.happen(world.choices()[-1])
    world.restart("n1")
    world.settle()
    written = world.nodes["n2"].written(request)
    assert written is not None
    assert written.outcome == "committed"
    assert b'name="a"' in world.nodes["n3"].disk.shown
    assert len(world.digests()) == 1
    assert world.nodes["n1"].core.phase is Phase.LEADING  # type: ignore[union-attr]


def test_a_power_cut_of_all_loses_no_acknowledged_configuration() -> None:
    world = three()
    request = world.option("n2", "a", "1")
    world.settle()
    assert world.nodes["n2"].written(request) is not None
    world.views.clear()
    for name in world.nodes:
        world.restart(name, power=True)
    world.settle()
    world.view("n3", "n2")
    world.settle()
    assert b'name="a"' in world.nodes["n3"].disk.shown


def test_messages_of_an_older_view_are_refused() -> None:
    world = three()
    world.view("n2", "n3")
    world.settle()
    before = world.digests("n2", "n3")
    late = world.option("n1", "a", "old")  # n1 has not heard of the new view yet
    world.views["n1"] = world.views["n2"]  # its messages arrive all the same
    world.settle()
    assert world.nodes["n1"].written(late) is None
    assert world.digests("n2", "n3") == before


def test_a_crmd_that_asks_again_is_told_again() -> None:
    world = three()
    world.introduce("n1")
    assert len(world.leading("n1")) == 2
    world.introduce("n2")
    world.settle()
    assert len(world.digests()) == 1


def test_another_writer_in_the_same_view() -> None:
    world = three()
    view, _ = world.views["n1"]
    for name in world.nodes:
        world.views[name] = (view, "n2")
        world.introduce(name)
    world.settle()
    request = world.option("n1", "a", "b")
    world.settle()
    assert len(world.leading("n2")) == 1
    written = world.nodes["n1"].written(request)
    assert written is not None
    assert written.outcome == "committed"
    assert len(world.digests()) == 1


def test_a_write_of_another_view_is_void() -> None:
    world = three()
    old = world.views["n1"][0].id
    world.view("n1", "n2", "n3")
    world.settle()
    request = world.option("n1", "a", "b", view=old)
    world.settle()
    written = world.nodes["n1"].written(request)
    assert written is not None
    assert (written.outcome, written.rc) == ("refused", Rc.QUORUM)


def test_subscribers_can_follow_by_diffs() -> None:
    world = three()
    node = world.nodes["n2"]
    world.option("n1", "a", "b")
    world.node_state("n1", "online")
    world.settle()
    changes = [message for message in node.to_crmd if isinstance(message, Changed)]
    assert [change.generation for change in changes] == list(range(1, len(changes) + 1))
    assert changes[0].whole
    assert all(change.diff for change in changes[1:])
    assert changes[-1].sections == ("status", "cib")


def test_versions_that_are_committed_together_are_shown_together() -> None:
    world = three()
    crmd, disk = world.nodes["n2"].to_crmd, world.nodes["n2"].disk
    crmd.clear()
    before = disk.generation
    for number in range(8):
        world.node_state("n1", f"v{number}")
    world.settle()
    changes = [message for message in crmd if isinstance(message, Changed)]
    assert len(changes) == 8
    assert all(change.diff for change in changes)
    versions = [change.version for change in changes]
    assert versions == sorted(set(versions))
    assert disk.generation == changes[-1].generation < before + 8
    assert [change.generation for change in changes] == sorted(change.generation for change in changes)


def test_what_shared_memory_lost_is_shown_again_at_the_next_start() -> None:
    world = three()
    world.nodes["n2"].disk.shown = b""  # the newest segment is damaged; the generation is still counted
    generation = world.nodes["n2"].disk.generation
    world.restart("n2")
    world.settle()
    disk = world.nodes["n2"].disk
    assert disk.generation > generation
    assert disk.shown


def test_what_could_not_be_shown_is_shown_with_what_came_since() -> None:
    world = three()
    node = world.nodes["n2"]
    world.option("n1", "a", "1")
    while not any(isinstance(effect.request, PublishCib) for effect in node.operations):
        others = [choice for choice in world.choices() if choice != ("n2", "")]
        world.happen(others[0] if others else ("n2", ""))
    node.disk.is_full = True
    while node.operations:
        node.finish_one()
    node.disk.is_full = False
    world.option("n1", "b", "2")
    world.settle()
    assert len(world.digests()) == 1
    assert b'"b"' in node.disk.shown


def test_who_has_no_quorum_cannot_say_that_an_earlier_writer_did_not_write() -> None:
    """n1 has the write and is cut off before it answers; n3, alone, would refuse it; then it comes back with n1."""
    world = three()
    request = world.option("n3", "a", "1")
    world.happen(("n3", "n1"))
    world.nodes["n1"].finish_one()
    world.view("n1", "n2", writer="n1")
    world.view("n3")
    world.settle()
    written = world.nodes["n3"].written(request)
    assert written is not None
    assert written.outcome == "unknown"
    world.option("n3", "b", "1")
    world.settle()
    fresh = world.nodes["n3"].replies[-1]
    assert isinstance(fresh, Written)
    assert (fresh.outcome, fresh.rc) == ("refused", Rc.QUORUM), "what nobody had before is refused"
    again = Write(request_id=request, operation="modify", scope="crm_config", xml='<nvpair id="opts-a" value="1"/>')
    world.write("n3", again)
    world.settle()
    assert world.nodes["n3"].written(request).outcome == "unknown"  # type: ignore[union-attr]
    world.view("n1", "n2", "n3", writer="n1")
    world.settle()
    assert b'name="a"' in world.nodes["n3"].disk.shown


def test_a_query_finds_elements_and_says_when_there_are_none() -> None:
    world = three()
    node = world.nodes["n2"]
    node.receive(CLIENT, Query(request_id="q1", scope="nodes"))
    node.receive(CLIENT, Query(request_id="q2", xpath="//primitive"))
    node.receive(CLIENT, Query(request_id="q3", xpath="//nodes | //resources"))
    answers = {message.request_id: message for message in node.replies}  # type: ignore[attr-defined]
    assert answers["q1"].xml == "<nodes/>"
    assert answers["q2"].rc == Rc.NO_SUCH
    assert answers["q3"].xml == "<xpath-query><nodes/><resources/></xpath-query>"


def test_a_message_that_is_not_for_the_cib_is_noted_and_ignored() -> None:
    world = three()
    world.nodes["n1"].step(Received(Local("attrd"), world.leading("n1")[0]))
    assert any("not for the cib" in note for note in world.nodes["n1"].notes)


def test_a_full_disk_holds_the_acknowledgement_back_until_it_works_again() -> None:
    world = three()
    world.nodes["n3"].disk.is_full = True
    request = world.option("n1", "a", "b")
    world.settle()
    assert world.nodes["n1"].written(request) is None
    assert any("No space left" in note for note in world.nodes["n3"].notes)
    world.nodes["n3"].disk.is_full = False
    world.settle()
    written = world.nodes["n1"].written(request)
    assert written is not None
    assert written.outcome == "committed"
    assert len(world.digests()) == 1


def test_full_shared_memory_holds_back_what_subscribers_hear() -> None:
    world = three()
    node = world.nodes["n2"]
    heard = len(node.to_crmd)
    world.option("n1", "a", "b")
    while not any(isinstance(operation.request, PublishCib) for operation in node.operations):
        world.happen(world.choices()[0])
    node.disk.is_full = True
    world.settle(1)
    assert len(node.to_crmd) == heard
    node.disk.is_full = False
    world.settle()
    assert isinstance(node.to_crmd[-1], Changed)
    assert b'name="a"' in node.disk.shown


def test_many_writes_at_once_share_their_journal_writes() -> None:
    world = three()
    requests = [world.option("n1", f"o{number}", "x") for number in range(50)]
    appends = 0
    while choices := world.choices():
        node, other = choices[0]
        if not other and isinstance(world.nodes[node].operations[0].request, AppendRecords) and node == "n2":
            appends += 1
        world.happen(choices[0])
    assert all(world.nodes["n1"].written(request) is not None for request in requests)
    assert appends < 25
    assert len(world.digests()) == 1


def test_a_journal_that_grew_long_is_folded_into_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ha.cib.core.journal.MAX_JOURNAL_BYTES", 2000)
    world = three()
    for number in range(30):
        world.option("n1", "x", str(number))
        world.settle(0)
    assert len(world.nodes["n2"].disk.records) < 15
    world.restart("n2", power=True)
    world.settle()
    assert b'value="29"' in world.nodes["n2"].disk.shown
    assert len(world.digests()) == 1


def test_a_disk_that_cannot_be_read_is_tried_again() -> None:
    world = World("n1")
    node = world.nodes["n1"]
    node.disk.is_full = True
    world.settle()
    assert any("cannot read the CIB" in note for note in node.notes)
    node.disk.is_full = False
    world.settle()
    assert isinstance(node.to_crmd[-1], Changed)
