# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole cluster on this machine, without privileges: for trying things out, for the demo, for tests.

layout    which nodes, where their files and ports are; writes ha.cf, authkeys, nodeinfo
switch    the network between the nodes: forwards their packets, and cuts
power     the nodes' power supply: on, off (SIGKILL to everything), freeze, thaw
hub       the process that holds switch and power, and takes orders on a socket
control   gives the hub orders
node      the first process of a node: every process of the node descends from it
commands  `ha playground ...`
demo      `ha playground demo`
"""
