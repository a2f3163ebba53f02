# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy engine and crm_simulate against Pacemaker's cases, which lie outside this repository.

cases          finds the cases and what judges them, and runs our crm_simulate on them in this process
run            prints how many cases reach each level; rewrites the ratchet
oracle         random clusters, decided by an installed crm_simulate and by ours; why each difference (old_release)
play           random clusters, every transition played to its end; the kinds of what never rests (restless)
diffs          deciding after diffs beside deciding from scratch
determinism    equal inputs give equal bytes, on every case
fuzz           crm_simulate and crm_verify on spoiled input (mutations)
newer.json     digests of those of our answers that a newer release was asked about and gave as well
ratchet.json   per level, the cases that pass; `test_ratchet` fails when one of them no longer does
"""
