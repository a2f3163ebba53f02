# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha plan` and `ha apply`: see what a change would make the cluster do, then have exactly that done.

model     what a plan is, and its file
edits     the change: any command, or the operator's editor, at work on a copy of the CIB
foresight the actions it leads to, in order, until the cluster rests
cluster_player  carries a transition out on a copy, as a cluster does
commands  the command lines
"""
