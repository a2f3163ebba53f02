# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat: a high-availability cluster manager for Linux. This page is the map.

    systemd / init
       └─ rmd ─────────── forks, restarts, stops every worker; embeds `supervisor`
           ├─ apphbd ──── takes a beat from every worker's loop, pets /dev/watchdog; rmd and it watch each other
           ├─ logd ────── takes every worker's log lines, never waited for
           ├─ heartbeat ─ the only one with a network: signed, ordered messages between the nodes
           ├─ ccm ─────── agrees with its peers which nodes form the cluster (views, quorum)
           ├─ cib ─────── the configuration and status as XML, replicated; in shared memory for readers
           ├─ stonithd ── shoots nodes with fence agents           (package ha.stonith)
           ├─ lrmd ────── runs resource agents                     (package ha.lrm)
           ├─ attrd ───── transient node attributes
           ├─ crmd ────── the brain: elects the DC, joins members, moves information (package ha.crm)
           └─ pengine, tengine ─ state -> graph, graph -> orders; on the DC only (packages ha.pe, ha.te)

Two nodes may do without a CRM (`crm off` and a haresources file): `haresources` runs then instead of ccm to tengine.

Who speaks to whom on a node is one table, `ha.ipc.links`. Between nodes everything goes through heartbeat, module to
module of the same name:

    crmd ──► lrmd stonithd attrd cib ccm rmd heartbeat        pengine, tengine ──► crmd (and nobody else)
    cib attrd stonithd ──► ccm heartbeat       attrd stonithd ──► cib       ccm ──► heartbeat
    every worker ──► logd, apphbd (datagrams)      lrmd ──► rmd stonithd      programs ──► the module they ask

The same five words in every module's folder (a file, or a folder when it grows):

    model   knows: typed values, parsing and printing                            pure
    msg     says: its messages, the only face other modules see                  pure
    core    decides: `build(...)` makes its Machine (ha.machine)                 pure
    io      touches: one adapter per device, no decisions
    daemon  is the process: `main(root) -> int` builds core and io and gives them to ha.shell

Imports point down only:

    cli > sim > crm > pe | te | lrm | stonith | attrd > cib > ccm > heartbeat | logd
        > shell > rmd > apphbd > ipc > every module's msg > whole_file | machine | root
"""

__version__ = "0.1.0"
