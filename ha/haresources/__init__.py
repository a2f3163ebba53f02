# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat's first way to run services: two nodes, groups of resources in /etc/ha.d/haresources, no CRM."""
