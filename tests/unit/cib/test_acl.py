# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may see and change what: roles, kinds, ways to select, reads filtered, writes judged by the CIB before them."""

from __future__ import annotations

import os

import pytest
from lxml import etree

from ha.cib.io.users import find_user
from ha.cib.model.acl import WORKER, Permissions, User, is_judged
from ha.cib.model.document import Document
from ha.cib.model.judge import apply_write
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.model.store import FindUser
from ha.cib.msg import Changed, Query, Subscribe, Write, Written
from ha.cib.schema import load
from ha.machine import Client
from tests.unit.cib.world import World

ON = '<nvpair id="o-acl" name="enable-acl" value="true"/>'


def cib(*permissions: str, on: bool = True, acls: str = "") -> Document:
    role = "".join(f'<acl_permission id="p{n}" {text}/>' for n, text in enumerate(permissions))
    whole = acls or f'<acl_role id="r">{role}</acl_role><acl_target id="alice"><role id="r"/></acl_target>'
    document = Document.from_bytes(
        '<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0"><configuration><crm_config>'
        f'<cluster_property_set id="o">{ON if on else ""}<nvpair id="o-secret" name="s" value="x"/>'
        '</cluster_property_set></crm_config><nodes/><resources>'
        '<primitive id="a" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="a-i">'
        '<nvpair id="a-pw" name="passwd" value="p"/><nvpair id="a-x" name="x" value="1"/></instance_attributes>'
        '</primitive><primitive id="b" class="ocf" provider="heartbeat" type="Dummy"/></resources><constraints/>'
        f"<acls>{whole}</acls></configuration><status/></cib>"
    )
    refusal = load().check(document)
    assert refusal is None, refusal
    return document


ALICE = User("alice")


def seen(document: Document, user: User = ALICE) -> str:
    found = Permissions(document.root, user).visible()
    return "" if found is None else etree.tostring(found).decode()


def attempt(document: Document, operation: str, user: User = ALICE, **fields: object) -> Rc:
    """The outcome, with the document as it was afterwards if it was refused."""
    before = document.snapshot().to_bytes()
    write = Write(request_id="r", operation=operation, **fields)  # type: ignore[arg-type]
    try:
        apply_write(document, write, load(), user)
    except Refusal as refusal:
        assert document.snapshot().to_bytes() == before
        return refusal.rc
    return Rc.OK


def test_nobody_is_judged_while_acls_are_off_and_root_never_is() -> None:
    assert not is_judged(cib(on=False).root, ALICE)
    assert is_judged(cib().root, ALICE)
    assert not is_judged(cib().root, WORKER)


SPELLINGS = [("true", True), ("TRUE", True), ("on", True), ("1", True), ("no", False)]


@pytest.mark.parametrize(("value", "judged"), SPELLINGS)
def test_the_switch_has_the_spellings_of_a_boolean(value: str, judged: bool) -> None:
    document = cib()
    document.root.xpath("//nvpair[@name='enable-acl']")[0].set("value", value)  # type: ignore[index,union-attr]
    assert is_judged(document.root, ALICE) is judged


def test_who_has_no_role_sees_and_changes_nothing() -> None:
    assert seen(cib('kind="write" xpath="/cib"'), User("bob")) == ""
    xml = '<nvpair id="a-x" value="2"/>'
    assert attempt(cib('kind="write" xpath="/cib"'), "modify", User("bob"), scope="resources", xml=xml) == Rc.PRIVILEGE


@pytest.mark.parametrize("way", ['xpath="//primitive[@id=\'a\']"', 'reference="a"', 'object-type="primitive"'])
def test_each_way_to_select_opens_what_it_names(way: str) -> None:
    text = seen(cib(f'kind="read" {way}'))
    assert 'id="a" class="ocf"' in text
    assert "passwd" in text
    assert "o-secret" not in text
    assert "<cib><configuration><resources>" in text, "of what holds it, the tags alone show"


def test_an_attribute_narrows_a_tag() -> None:
    text = seen(cib('kind="read" object-type="nvpair" attribute="value"'))
    assert 'name="passwd"' in text
    assert "class=" not in text


def test_deny_beats_read_and_the_nearest_beats_what_holds_it() -> None:
    text = seen(cib('kind="read" xpath="/cib"', 'kind="deny" xpath="//nvpair[@name=\'passwd\']"'))
    assert 'name="passwd"' not in text
    assert 'name="x"' in text
    text = seen(cib('kind="deny" xpath="//resources"', 'kind="read" xpath="/cib"', 'kind="read" reference="a-x"'))
    assert 'name="x"' in text
    assert "class=" not in text


def test_write_changes_what_it_names_and_read_does_not() -> None:
    change = {"scope": "resources", "xml": '<nvpair id="a-x" name="x" value="2"/>'}
    assert attempt(cib('kind="write" reference="a"'), "modify", **change) == Rc.OK
    assert attempt(cib('kind="read" xpath="/cib"'), "modify", **change) == Rc.PRIVILEGE
    only_b = cib('kind="read" xpath="/cib"', 'kind="write" reference="b"')
    assert attempt(only_b, "modify", **change) == Rc.PRIVILEGE


def test_creating_wants_write_where_it_goes_and_removing_on_all_that_goes() -> None:
    new = '<primitive id="c" class="ocf" provider="heartbeat" type="Dummy"/>'
    resources = 'kind="write" xpath="//resources"'
    assert attempt(cib(resources), "create", scope="resources", xml=new) == Rc.OK
    assert attempt(cib('kind="write" reference="a"'), "create", scope="resources", xml=new) == Rc.PRIVILEGE
    assert attempt(cib(resources), "delete", xml='<primitive id="a"/>') == Rc.OK
    kept = cib(resources, 'kind="deny" reference="a-pw"')
    assert attempt(kept, "delete", scope="resources", xml='<primitive id="a"/>') == Rc.PRIVILEGE


def test_nobody_grants_himself_anything() -> None:
    grant = '<acl_role id="r"><acl_permission id="p9" kind="write" xpath="/cib"/></acl_role>'
    writer = 'kind="write" xpath="//crm_config"'
    assert attempt(cib(writer), "modify", scope="acls", xml=grant) == Rc.PRIVILEGE
    bare = '<acl_target id="mallory"/>'
    assert attempt(cib(writer), "create", scope="acls", xml=bare) == Rc.PRIVILEGE


def test_order_and_the_whole_want_write() -> None:
    document = cib('kind="write" reference="a"', 'kind="write" reference="b"')
    resources = document.root.find("configuration/resources")
    assert resources is not None
    swapped = f"<resources>{etree.tostring(resources[1]).decode()}{etree.tostring(resources[0]).decode()}</resources>"
    assert attempt(document, "replace", scope="resources", xml=swapped) == Rc.PRIVILEGE
    for operation in ("bump", "sync", "upgrade", "erase"):
        assert attempt(document, operation, force=True) == Rc.PRIVILEGE, operation
    assert attempt(cib('kind="write" xpath="/cib"'), "bump") == Rc.OK


def test_groups_and_the_older_form_have_their_roles() -> None:
    role = '<acl_role id="r"><acl_permission id="p" kind="read" reference="a"/></acl_role>'
    grouped = cib(acls=f'{role}<acl_group id="g" name="ops"><role id="r"/></acl_group>')
    assert "passwd" in seen(grouped, User("bob", ("users", "ops")))
    assert seen(grouped, User("ops")) == "", "a user is not the group of that name"
    older = '<acl_role id="r"><read id="x" tag="primitive"/></acl_role>' \
        '<acl_user id="alice"><role_ref id="r"/><deny id="y" ref="b"/></acl_user>'  # fmt: skip
    text = seen(cib(acls=older))
    assert "passwd" in text
    assert '"b"' not in text


def test_an_xpath_that_cannot_be_evaluated_opens_nothing() -> None:
    assert seen(cib('kind="read" xpath="//["')) == ""
    assert seen(cib('kind="read" xpath="/cib"', 'kind="deny" xpath="//["')) == ""


def test_a_refusal_does_not_name_what_may_not_be_seen() -> None:
    with pytest.raises(Refusal) as caught:
        write = Write(request_id="r", operation="delete", xml='<nvpair id="a-pw"/>', scope="resources")
        apply_write(cib('kind="read" reference="b"'), write, load(), ALICE)
    assert "a-pw" not in str(caught.value)


# Through the worker --------------------------------------------------------------------------------------------------


def cluster(*permissions: str) -> World:
    world = World("n1", "n2", "n3")
    world.settle()
    world.view("n1", "n2", "n3")
    world.settle()
    xml = cib(*permissions).snapshot().to_bytes().decode()
    world.write("n1", Write(request_id="load", operation="replace", xml=xml))
    world.settle()
    loaded = world.nodes["n1"].written("load")
    assert loaded is not None
    assert loaded.outcome == "committed", loaded
    return world


@pytest.mark.parametrize("asked", ["n1", "n3"])
def test_the_kernel_says_who_asks_whatever_the_message_says(asked: str) -> None:
    world = cluster('kind="write" reference="b"')
    node, program = world.nodes[asked], Client("cibadmin", 7, 1007)
    for user in ("", "root", "hacluster", "alice"):
        change = Write(
            request_id=f"w-{user}", operation="modify", scope="resources", user=user,
            xml='<nvpair id="a-x" name="x" value="2"/>',
        )  # fmt: skip
        world.write(asked, change, program)
        world.settle()
        written = node.written(f"w-{user}")
        assert isinstance(written, Written)
        assert (written.outcome, written.rc) == ("refused", Rc.PRIVILEGE), user


def test_what_is_read_through_the_socket_is_filtered() -> None:
    world = cluster('kind="read" reference="a"')
    node, alice, root = world.nodes["n2"], Client("cibadmin", 7, 1007), Client("cibadmin", 8, 0)
    node.receive(alice, Query(request_id="q1"))
    node.receive(alice, Query(request_id="q2", xpath="//nvpair[@id='o-secret']"))
    node.receive(root, Query(request_id="q3", user="alice"))
    node.receive(root, Query(request_id="q4"))
    world.settle()
    answers = {message.request_id: message for message in node.replies if hasattr(message, "rc")}
    assert "passwd" in answers["q1"].xml
    assert "o-secret" not in answers["q1"].xml
    assert answers["q2"].rc == Rc.NO_SUCH
    assert answers["q3"].xml == answers["q1"].xml
    assert "o-secret" in answers["q4"].xml


def test_whoever_acls_are_for_may_not_subscribe_to_the_whole() -> None:
    world = cluster('kind="read" reference="a"')
    node = world.nodes["n2"]
    node.receive(Client("crm_mon", 7, 1007), Subscribe())
    world.settle()
    assert not any(isinstance(message, Changed) for message in node.replies)
    assert any("ACLs are on" in note for note in node.notes)


def test_a_uid_of_the_system_has_its_name_and_groups() -> None:
    own = find_user(FindUser(os.geteuid(), os.getegid(), ""))
    assert own.privileged
    as_other = find_user(FindUser(os.geteuid(), os.getegid(), "nobody"))
    assert (as_other.name, as_other.privileged) == ("nobody", False)
    stranger = find_user(FindUser(3_999_999, 3_999_999, "root"))
    assert stranger == User("3999999", ())
