# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha cluster`: from three machines to a cluster.

plan         what the operator said of the nodes, and the ha.cf and first CIB that it amounts to    pure
invitation   ha.cf and keys as one line of text, and its fingerprint                                  pure
own          what a machine knows of itself: its addresses and their interfaces
placing      files that are all written or none, and never over others
commands     init, invite, join
"""
