# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_resource`: look at resources, move them, change their parameters, clean up after them.

command      options, and which order they amount to
session      the CIB, the model made of it, and the other workers, as an order needs them
listing      what there is and where it runs
constraints  move, ban, clear
parameters   instance attributes, meta-attributes, utilization
orders       cleanup, refresh, restart, wait
agents       classes, providers, agents, meta-data
manual       --force-start and its like: the agent is run here and now
validation   an agent checks parameters
digests      by which a changed definition is noticed
why          why a resource is where it is
"""

from ha.cli.crm_resource.command import main

__all__ = ["main"]
