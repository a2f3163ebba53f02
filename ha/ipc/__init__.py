# SPDX-License-Identifier: GPL-2.0-or-later
"""How processes of one node speak: the codec, frames on unix sockets, who may link to whom, and a program's client.

limits       every size and count in one place
codec        messages <-> bytes                                      pure
frames       bytes on a stream <-> whole messages                    pure
links        the table of allowed links                              pure
hello        the first words on a link                               pure
credentials  what the kernel says of a peer, and whether it may speak
client       a blocking connection for programs
"""
