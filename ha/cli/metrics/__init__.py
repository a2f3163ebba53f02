# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha metrics`: the node and the cluster for a monitoring system, also while workers are dead.

`openmetrics` writes the text, `cluster_families` reads a CIB, `node_families` what the workers of this node say,
`failover_families` the phases of the last recovery in the log.
"""
