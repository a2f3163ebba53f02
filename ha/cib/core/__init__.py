# SPDX-License-Identifier: GPL-2.0-or-later
"""The cib's decisions: one writer in the cluster, a replica on every node, nothing acknowledged that can be lost.

replica   the head, the committed version, and what is pending between them
journal   group commit to disk
readers   queries, publication in shared memory, subscribers
askers    the user behind a request
callers   writes asked of this node, and their way to the writer
member    the obeying side of replication
writer    the leading side
"""

from __future__ import annotations

from ha.cib.core.machine import Cib, build

__all__ = ["Cib", "build"]
