# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is there, and messages to them: the only module with a network.

The worker `heartbeat` tells ccm of nodes that come and go, and carries the messages of all modules between the nodes:
signed, each once, in order. It speaks the wire format of Heartbeat 3 and its client protocol.

    model    ha.cf, authkeys, media, packets
    core     the Machine; its parts are listed in `ha.heartbeat.core`
    io       UDP, the register socket, real-time priority, configuration files
    daemon   the process

For others: `ha.heartbeat.io.load(root)` gives the node's checked ha.cf; `ha.heartbeat.msg` is all that modules say to
it; `ha.heartbeat.io.api_client` asks it from a program.
"""
