# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy engine and crm_simulate against Pacemaker's cases, which lie outside this repository.

cases          finds the cases and what judges them, and runs our crm_simulate on them in this process
run            prints how many cases reach each level; rewrites the ratchet
ratchet.json   per level, the cases that pass; `test_ratchet` fails when one of them no longer does
"""
