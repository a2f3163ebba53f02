# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk and shared memory of the cib. `reader` is for every process that reads; the rest is the cib's own."""
