# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster option `fencing-disarmed-until`: written by `ha fencing`, heeded by every stonithd."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ha.cib.msg import Write
from ha.cli.exit_codes import Exit
from ha.cli.source.cib import CibSource, SourceError
from ha.machine import Message

OPTION = "fencing-disarmed-until"
PAIR_ID = f"cib-bootstrap-options-{OPTION}"

Question = Callable[[str], Message]
"""Makes the message from a request id."""


def write(cib: CibSource, until_s: int | None) -> None:
    """Set the option (Unix time), or take it away. Raises SourceError when the cluster refuses."""
    if until_s is None:
        change = Write(
            request_id=cib.new_request_id(), operation="delete-all",
            xpath=f"/cib/configuration/crm_config//nvpair[@name='{OPTION}']",
        )  # fmt: skip
    else:
        pair = f'<nvpair id="{PAIR_ID}" name="{OPTION}" value="{until_s}"/>'
        change = Write(
            request_id=cib.new_request_id(), operation="modify", scope="crm_config", allow_create=True,
            xml=f'<crm_config><cluster_property_set id="cib-bootstrap-options">{pair}</cluster_property_set>'
            "</crm_config>",
        )  # fmt: skip
    written = cib.write(change)
    if written.outcome != "committed" and not (until_s is None and written.rc == Exit.NO_SUCH_OBJECT):
        raise SourceError(written.rc or Exit.ERROR, f"the change was {written.outcome}: {written.reason}")


def disarmed_for_s(options: Mapping[str, str], now_s: float) -> int:
    """How long fencing is still disarmed by these cluster options; 0 when it is armed."""
    text = options.get(OPTION, "0")
    return max(0, int(text) - int(now_s)) if text.isascii() and text.isdigit() and len(text) <= 15 else 0
