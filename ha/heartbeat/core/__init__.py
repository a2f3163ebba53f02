# SPDX-License-Identifier: GPL-2.0-or-later
"""What heartbeat decides: who is there, and what has arrived, in order.

heartbeat     the Machine: dispatches events, ties the parts below together
nodes         states of nodes and links; who was heard when
detector      when silence means death, and when it only means that we were late ourselves
association   with each peer: a session agreed by both ends, below which nothing counts
outgoing      the sending half of an association: fragments, window, repeats
incoming      the receiving half: order, gaps, reassembly
sequence      Heartbeat's own numbering of broadcast packets, with its requests for repeats
modules       the node's own workers: who has signed on, what waits for those that have not
api           programs that speak Heartbeat's client protocol
"""

from __future__ import annotations

from ha.heartbeat.core.heartbeat import Heartbeat
from ha.heartbeat.model import AuthKeys, HaCf
from ha.machine import Machine


def build(*, node: str, ha_cf: HaCf, keys: AuthKeys, boot_id: str, watch_keys: bool = False) -> Machine:
    """The heartbeat machine of `node`. `boot_id` changes with each boot of the node and with nothing else.

    `watch_keys`: have an adapter tell when authkeys changes (Execute WatchKeys).
    """
    return Heartbeat(node, ha_cf, keys, boot_id, watch_keys)


__all__ = ["build"]
