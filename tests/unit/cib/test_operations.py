# SPDX-License-Identifier: GPL-2.0-or-later
"""What each order of cibadmin does to a document, with Pacemaker's exit codes."""

from __future__ import annotations

import pytest
from lxml import etree

from ha.cib.model.acl import User
from ha.cib.model.document import Document
from ha.cib.model.judge import apply_write
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.msg import Version, Write
from ha.cib.schema import load

CIB = """<cib admin_epoch="0" epoch="5" num_updates="3" validate-with="pacemaker-3.9">
  <configuration>
    <crm_config><cluster_property_set id="opts"><nvpair id="opts-a" name="a" value="1"/></cluster_property_set>
    </crm_config>
    <nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
    <resources>
      <group id="g"><primitive id="p1" class="ocf" provider="heartbeat" type="Dummy"/>
        <primitive id="p2" class="ocf" provider="heartbeat" type="Dummy"/></group>
    </resources>
    <constraints><rsc_location id="l1" rsc="p1" node="n1" score="1"/></constraints>
  </configuration>
  <status><node_state id="1" uname="n1" crmd="online"/></status>
</cib>"""

CONFIGURED = Version(0, 6, 0)
STATUS = Version(0, 5, 4)
SAME = Version(0, 5, 3)
NEW = '<primitive id="new" class="ocf" type="Dummy"/>'


def write(operation: str, xml: str = "", **fields: object) -> Write:
    return Write(request_id="r", operation=operation, xml=xml, **fields)  # type: ignore[arg-type]


def document(**root: str) -> Document:
    found = Document.from_bytes(CIB)
    for name, value in root.items():
        found.root.set(name, value)
    return found


DONE = [
    # the order, version after, XPath that finds something after, XPath that finds nothing
    (write("create", NEW, scope="resources"), CONFIGURED, "//resources/primitive[@id='new']", ""),
    (write("create", f"<resources>{NEW}</resources>"), CONFIGURED, "//resources/primitive[@id='new']", ""),
    (write("create", "<tags/>", scope="configuration"), CONFIGURED, "//tags", ""),
    (write("create", '<tag id="t"><obj_ref id="p1"/></tag>', scope="tags"), CONFIGURED, "//tags/tag", ""),
    (write("create", '<nvpair id="opts-b" name="b"/>', xpath="//cluster_property_set"), CONFIGURED,
     "//nvpair[@id='opts-b']", ""),
    (write("modify", '<nvpair id="opts-a" name="a" value="2"/>'), CONFIGURED, "//nvpair[@value='2']",
     "//nvpair[@value='1']"),
    (write("modify", '<primitive id="p2"><meta_attributes id="m"/></primitive>'), CONFIGURED,
     "//primitive[@id='p2'][@type='Dummy']/meta_attributes", ""),
    (write("modify", NEW, scope="resources", allow_create=True), CONFIGURED, "//primitive[@id='new']", ""),
    (write("modify", '<nvpair id="opts-a" value="value++"/>'), CONFIGURED, "//nvpair[@value='2']", ""),
    (write("modify", '<nvpair id="opts-a" value="value+=41"/>'), CONFIGURED, "//nvpair[@value='42']", ""),
    (write("modify", '<node_state id="1" crmd="offline"/>', scope="status"), STATUS, "//node_state[@crmd='offline']",
     ""),
    (write("modify", '<node_state id="1" crmd="online"/>'), SAME, "//node_state", ""),
    (write("modify", '<cib have-quorum="1"/>'), STATUS, "/cib[@have-quorum='1']", ""),
    (write("modify", '<cib admin_epoch="7"/>'), Version(7, 0, 0), "/cib[@admin_epoch='7']", ""),
    (write("modify", "<crm_config><cluster_property_set id='opts'><nvpair id='opts-b' name='b' value='x'/>"
           "</cluster_property_set></crm_config>"), CONFIGURED, "//nvpair[@id='opts-a']/../nvpair[@id='opts-b']", ""),
    (write("replace", '<crm_config/>'), CONFIGURED, "//crm_config", "//nvpair"),
    (write("replace", '<constraints/>', scope="constraints"), CONFIGURED, "//constraints", "//rsc_location"),
    (write("replace", CIB, scope="configuration"), SAME, "//group", ""),
    (write("replace", CIB.replace('epoch="5"', 'epoch="9"').replace('score="1"', 'score="2"')), Version(0, 9, 3),
     "//rsc_location[@score='2']", ""),
    (write("replace", CIB.replace('score="1"', 'score="2"')), CONFIGURED, "//rsc_location[@score='2']", ""),
    (write("replace", '<node id="2" uname="other"/>'), CONFIGURED, "//node[@uname='other']", "//node[@uname='n2']"),
    (write("replace", '<rsc_location id="l2" rsc="p2" node="n1" score="1"/>', xpath="//rsc_location"), CONFIGURED,
     "//rsc_location[@id='l2']", "//rsc_location[@id='l1']"),
    (write("delete", '<node uname="n2"/>', scope="nodes"), CONFIGURED, "//node[@uname='n1']", "//node[@uname='n2']"),
    (write("delete", '<rsc_location id="l1"/>'), CONFIGURED, "//constraints", "//rsc_location"),
    (write("delete", '<rsc_location id="none"/>'), SAME, "//rsc_location", ""),
    (write("delete", xpath="//node"), CONFIGURED, "//node[@id='2']", "//node[@id='1']"),
    (write("delete", xpath="//nothing"), SAME, "//node", ""),
    (write("delete-all", xpath="//node"), CONFIGURED, "//nodes", "//node"),
    (write("delete", '<node_state id="1"/>', scope="status"), STATUS, "/cib/status", "//node_state"),
    (write("erase", force=True), Version(1, 5, 0), "//resources", "//primitive"),
    (write("bump"), CONFIGURED, "//group", ""),
    (write("sync"), CONFIGURED, "//group", ""),
    (write("upgrade", force=True), SAME, "//group", ""),
    (write("patch", '<diff format="2"><change operation="delete" path="/cib/configuration/constraints/'
           "rsc_location[@id='l1']\"/></diff>"), CONFIGURED, "//constraints", "//rsc_location"),
    (write("patch", '<diff format="2"><change operation="modify" path="/cib/configuration/nodes/node[@id=\'2\']">'
           '<change-list><change-attr name="type" operation="set" value="member"/></change-list></change></diff>'),
     CONFIGURED, "//node[@type='member'][@uname='n2']", ""),
]  # fmt: skip


@pytest.mark.parametrize(("order", "version", "present", "absent"), DONE)
def test_done(order: Write, version: Version, present: str, absent: str) -> None:
    cib = document()
    apply_write(cib, order, load())
    assert cib.version == version
    assert cib.root.xpath(present)
    assert not absent or not cib.root.xpath(absent)
    assert load().check(cib) is None


def test_a_remote_node_is_called_as_the_resource_that_connects_to_it() -> None:
    cib = document()
    apply_write(cib, write("create", '<node id="p1" uname="p1" type="remote"/>', scope="nodes"), load())
    assert load().check(cib) is None


LOCATION = '<rsc_location id="l2" rsc="{}" node="n1" score="1"/>'

REFUSED = [
    (write("create", '<node id="1" uname="n1"/>', scope="nodes"), Rc.EXISTS, 'line 1, <node id="1">: is already'),
    (write("create", NEW, scope="nowhere"), Rc.NO_SUCH, "'nowhere' is no section"),
    (write("create", scope="nodes"), Rc.USAGE, "create needs XML"),
    (write("create", NEW, xpath="//nothing"), Rc.NO_SUCH, "nothing at //nothing"),
    (write("create", f"<resources>\n\n{NEW.replace('new', 'p1')}</resources>"), Rc.CONFIG,
     'line 3, <primitive id="p1">: the id is taken by <primitive id="p1">'),
    (write("create", LOCATION.format("ghost"), scope="constraints"), Rc.CONFIG,
     "line 1, <rsc_location id=\"l2\">: refers to resource 'ghost', which does not exist"),
    (write("modify", NEW), Rc.NO_SUCH, 'line 1, <primitive id="new">: there is none'),
    (write("modify", '<primitive\n id="p1" colour="red"/>'), Rc.CONFIG,
     'line 2, <primitive id="p1">: has no attribute'),
    (write("modify", '<cib validate-with="pacemaker-9.9"/>'), Rc.CONFIG, "is no schema known here"),
    (write("modify", '<node_state id="1"><lrm id="1"><oops/></lrm></node_state>'), Rc.CONFIG,
     "<oops>: has no place in"),
    (write("replace", CIB.replace('epoch="5"', 'epoch="4"')), Rc.OLD, "version 0.4.3, older than the present 0.5.3"),
    (write("replace", "<tag id='x'/>"), Rc.NO_SUCH, "there is none"),
    (write("delete", '<group id="g"/>'), Rc.CONFIG, "refers to resource 'p1', which does not exist"),
    (write("erase"), Rc.UNSAFE, "--force"),
    (write("patch", "<cib/>"), Rc.DATA, 'a patch is a <diff format="2">'),
    (write("patch", '<diff format="2"><change operation="delete" path="/cib/x"/></diff>'), Rc.NO_SUCH, "no element at"),
    (write("patch", '<diff format="2"><version><source epoch="1"/></version></diff>'), Rc.OLD,
     "made for version 0.1.0"),
    (write("patch", '<diff format="2"><change operation="create" path="/cib" position="9"><a/></change></diff>'),
     Rc.DIGEST, "position 9 of 2"),
    (write("patch", '<diff format="2"><change operation="explode" path="/cib"/></diff>'), Rc.DATA, "unknown operation"),
    (write("modify", "<node"), Rc.DATA, "line 1: not well-formed XML"),
]  # fmt: skip


@pytest.mark.parametrize(("order", "rc", "reason"), REFUSED)
def test_refused_with_the_document_as_it_was(order: Write, rc: Rc, reason: str) -> None:
    cib = document()
    before = cib.snapshot()
    with pytest.raises(Refusal) as caught:
        apply_write(cib, order, load())
    assert (caught.value.rc, reason in str(caught.value)) == (rc, True), str(caught.value)
    assert cib.snapshot() == before
    assert etree.tostring(cib.root) == before.to_bytes()


def test_force_permits_a_reference_to_nothing() -> None:
    cib = document()
    apply_write(cib, write("create", LOCATION.format("ghost"), scope="constraints", force=True), load())
    assert cib.version == CONFIGURED


def test_an_old_dangling_reference_does_not_stand_in_the_way() -> None:
    cib = document()
    apply_write(cib, write("delete", '<group id="g"/>', force=True), load())
    apply_write(cib, write("create", '<node id="3" uname="n3"/>', scope="nodes"), load())
    assert cib.version == Version(0, 7, 0)


def test_without_validation_anything_well_formed_goes() -> None:
    cib = document(**{"validate-with": "none"})
    apply_write(cib, write("create", "<anything/>", scope="resources"), load())
    assert cib.version == CONFIGURED


def test_upgrade_names_the_newest_schema() -> None:
    cib = document(**{"validate-with": "pacemaker-1.2"})
    apply_write(cib, write("upgrade"), load())
    assert cib.root.get("validate-with") == "pacemaker-3.9"
    assert cib.version == CONFIGURED


def test_counting_stops_at_infinity() -> None:
    cib = document()
    apply_write(cib, write("modify", '<nvpair id="opts-a" value="999999"/>'), load())
    apply_write(cib, write("modify", '<nvpair id="opts-a" value="value+=5"/>'), load())
    assert cib.root.xpath("string(//nvpair[@id='opts-a']/@value)") == "INFINITY"


def test_a_patch_reaches_below_what_it_modifies_among_many() -> None:
    cib = document()
    nodes = "".join(f'<node id="m{n}" uname="m{n}"><utilization id="u{n}"/></node>' for n in range(40))
    apply_write(cib, write("replace", f"<nodes>{nodes}</nodes>", force=True), load())
    replica = Document.from_bytes(cib.snapshot().to_bytes())
    new = '<nodes><node id="m7" uname="x"><utilization id="u7"><nvpair id="v" name="v"/></utilization></node></nodes>'
    transaction = apply_write(cib, write("modify", new), load())
    apply_write(cib, write("bump"), load())
    diff = transaction.diff()
    assert diff is not None
    assert [change.get("operation") for change in diff.iterchildren("change")] == ["modify", "modify", "create"]
    apply_write(replica, write("patch", etree.tostring(diff.find("version/..")).decode()), load())
    assert replica.root.xpath("//node[@id='m7'][@uname='x']/utilization/nvpair")


def test_where_acls_are_on_a_user_without_rights_is_refused() -> None:
    cib = document()
    pair = '<nvpair id="opts-acl" name="enable-acl" value="true"/>'
    apply_write(cib, write("create", pair, xpath="//cluster_property_set"), load(), User("joe"))
    with pytest.raises(Refusal) as caught:
        apply_write(cib, write("bump"), load(), User("joe"))
    assert caught.value.rc == Rc.PRIVILEGE
    apply_write(cib, write("bump"), load())
