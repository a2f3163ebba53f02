# SPDX-License-Identifier: GPL-2.0-or-later
"""`upgrade`: old words become new ones, rights stay what they were, and nothing is dropped."""

from __future__ import annotations

import pytest
from lxml import etree

from ha.cib.model.acl import Permissions, User
from ha.cib.model.document import SCHEMA_DEFAULT, Document
from ha.cib.model.judge import apply_write
from ha.cib.msg import Write
from ha.cib.schema import load

OLD = """<acls>
<acl_role id="r"><write id="r-w" tag="nvpair" attribute="name"/><deny id="r-d" ref="p-secret"/></acl_role>
<acl_user id="alice"><role_ref id="r"/></acl_user>
<acl_user id="bob"><read id="b-r" xpath="//crm_config"/><deny id="b-d" ref="p-secret"/></acl_user></acls>"""


def cib(schema: str, acls: str = OLD) -> Document:
    document = Document.from_bytes(
        f'<cib validate-with="{schema}" admin_epoch="0" epoch="4" num_updates="2"><configuration><crm_config>'
        '<cluster_property_set id="o"><nvpair id="o-acl" name="enable-acl" value="true"/>'
        '<nvpair id="p-secret" name="s" value="x"/></cluster_property_set></crm_config><nodes/><resources/>'
        f"<constraints/>{acls}</configuration><status/></cib>"
    )
    assert load().check(document) is None
    return document


def upgraded(document: Document) -> Document:
    apply_write(document, Write(request_id="u", operation="upgrade"), load())
    assert load().check(document) is None
    return document


def rights(document: Document, user: str) -> bytes:
    """What the user sees outside <acls>, which is written anew."""
    seen = Permissions(document.root, User(user)).visible()
    assert seen is not None
    found = seen.find("configuration/crm_config")
    return b"" if found is None else etree.tostring(found)


def test_acls_get_their_present_words() -> None:
    acls = upgraded(cib("pacemaker-1.2")).root.find("configuration/acls")
    assert acls is not None
    assert [(e.tag, e.get("id")) for e in acls] == [
        ("acl_role", "r"), ("acl_target", "alice"), ("acl_role", "auto-bob"), ("acl_target", "bob"),
    ]  # fmt: skip
    permissions = [dict(p.attrib) for p in acls[0]]
    assert permissions == [
        {"id": "r-w", "kind": "write", "object-type": "nvpair", "attribute": "name"},
        {"id": "r-d", "kind": "deny", "reference": "p-secret"},
    ]
    assert [role.get("id") for role in acls[3]] == ["auto-bob"]


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_nobodys_rights_change(user: str) -> None:
    before = rights(cib("pacemaker-1.2"), user)
    assert before
    assert rights(upgraded(cib("pacemaker-1.2")), user) == before


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    taken = OLD.replace('<acl_role id="r">', '<acl_role id="auto-bob"/><acl_role id="r">')
    document = upgraded(cib("pacemaker-1.2", taken))
    assert document.root.xpath("//acl_target[@id='bob']/role[@id='auto-bob-2']")


@pytest.mark.parametrize("schema", ["pacemaker-1.0", "pacemaker-1.3", "pacemaker-2.10", "pacemaker-3.0"])
def test_every_older_schema_is_taken_and_raised(schema: str) -> None:
    document = upgraded(cib(schema))
    assert document.root.get("validate-with") == SCHEMA_DEFAULT
    assert document.version.epoch == 5


def test_what_is_newest_already_stays_as_it_is() -> None:
    document = cib("pacemaker-4.0")
    before = document.snapshot().to_bytes()
    apply_write(document, Write(request_id="u", operation="upgrade"), load())
    assert document.snapshot().to_bytes() == before
