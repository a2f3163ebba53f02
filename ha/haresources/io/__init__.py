# SPDX-License-Identifier: GPL-2.0-or-later
"""Adapters of the haresources worker.

config    ha.cf and haresources of this node
scripts   resource scripts, under runners that outlive the worker
fencing   Linux-HA stonith plug-ins, by cluster-glue's program `stonith`
"""
