# SPDX-License-Identifier: GPL-2.0-or-later
"""Any write put together from the CIB's own words, or from garbage, is done validly or refused without a trace.

And whatever was done, its diff brings a replica to the same bytes.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ha.cib.model.diff import apply_diff
from ha.cib.model.document import Document
from ha.cib.model.edit import Transaction
from ha.cib.model.judge import apply_write
from ha.cib.model.parse import parse
from ha.cib.model.refusal import Refusal
from ha.cib.msg import Write
from ha.cib.schema import load
from tests.unit.cib.test_operations import CIB

_PIECES = sorted(
    {
        etree.tostring(element, encoding="unicode", with_tail=False)
        for element in Document.from_bytes(CIB).root.iter(etree.Element)
    }
)
_FRAGMENTS = [
    *_PIECES,
    '<primitive id="new" class="ocf" type="Dummy"/>',
    '<node id="3" uname="n3"/>',
    '<nvpair id="opts-a" value="value++"/>',
    '<nvpair id="opts-b" name="b" value="2"/>',
    '<resources><primitive id="p9" class="lsb" type="x"/></resources>',
    '<configuration><alerts><alert id="al" path="/x"/></alerts></configuration>',
    '<tags><tag id="t"><obj_ref id="p1"/></tag></tags>',
    '<cib admin_epoch="3" have-quorum="0"/>',
    '<cib validate-with="none"/>',
    '<node_state id="9"/>',
    "<!-- only a comment --><resources/>",
    "<garbage>",
    "<?pi?><node/>",
]
_SET = '<change-list><change-attr name="x" operation="set" value="1"/></change-list>'
_CHANGES = st.lists(
    st.builds(
        lambda kind, path, position, inner: (
            f'<change operation="{kind}" path="{path}" position="{position}">{inner if kind == "create" else ""}'
            f"{_SET if kind == 'modify' else ''}</change>"
        ),
        st.sampled_from(["create", "delete", "move", "modify"]),
        st.sampled_from(
            ["/cib", "/cib/configuration", "/cib/configuration/nodes/node[@id='2']", "/cib/status", "/cib/no", "/x"]
        ),
        st.integers(0, 3),
        st.sampled_from(_PIECES),
    ),
    max_size=4,
).map(lambda changes: f'<diff format="2">{"".join(changes)}</diff>')

_SCOPES = ["", "cib", "configuration", "resources", "nodes", "crm_config", "constraints", "status", "tags", "nowhere"]
_XPATHS = ["", "", "", "//node", "//primitive", "//cib", "/cib/configuration/*", "//nvpair/@value", "//["]

_writes = st.builds(
    Write,
    request_id=st.just("r"),
    operation=st.sampled_from(
        ["create", "modify", "replace", "delete", "delete-all", "erase", "patch", "bump", "upgrade", "sync"]
    ),
    scope=st.sampled_from(_SCOPES),
    xpath=st.sampled_from(_XPATHS),
    xml=st.one_of(st.sampled_from(_FRAGMENTS), _CHANGES, st.text(max_size=20)),
    allow_create=st.booleans(),
    force=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_writes, min_size=1, max_size=4))
def test_a_write_is_done_validly_or_refused_without_a_trace(writes: list[Write]) -> None:
    document = Document.from_bytes(CIB)
    replica = Document.from_bytes(document.snapshot().to_bytes())
    for write in writes:
        before = document.snapshot()
        try:
            transaction = apply_write(document, write, load())
        except Refusal as refusal:
            assert refusal.rule
            assert document.snapshot() == before
            assert etree.tostring(document.root, encoding="utf-8") == before.to_bytes()
            continue
        after = document.snapshot()
        assert after.to_bytes() == etree.tostring(document.root, encoding="utf-8")
        assert load().check(document) is None
        assert (after.version > before.version) is not transaction.is_empty
        diff = transaction.diff()
        if diff is None:
            replica = Document.from_bytes(after.to_bytes())
        else:
            apply_diff(Transaction(replica), parse(etree.tostring(diff)))
        assert replica.snapshot() == after
