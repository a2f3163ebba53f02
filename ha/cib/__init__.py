# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster information base: configuration and status as one XML document, the same on every node.

    caller ── Write ──► cib ── Forward ──► the writer's cib (the DC's)
                                             perform, judge, number              model/judge, core/writer
                                             Propose ──► every member's cib      core/member
                                             all have it durable: Commit         core/journal
    caller ◄── Written ────────────────────┘     │
                                                 ▼
    readers ◄── shared memory: an immutable segment for all that was committed together, one word that names the newest
    subscribers ◄── Changed (a v2 diff)                                                           core/readers

Three states of a version: applied (the head), durable here (acknowledged to the writer), committed (durable on every
member of the view: shown to readers, answered to the caller). Nothing but committed versions is ever shown.
"""
