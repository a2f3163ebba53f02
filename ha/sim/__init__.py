# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulator: a whole cluster in one process, under virtual time, with the production cores.

world        one virtual time, one seed, the twin of everything outside the cores
node         one machine: power, clock, disk, shared memory, processes, what its agents have running
process      one run of one worker: what the shell is in production
agenda, clock, disk, links, network, agents, power, supervision, programs      the twins
stack        the production cores, and the twins of their io adapters
promises     the checkers of P1 to P4
cluster      an operator's hands: power off, cut, freeze, configure, wait until idle
scenario     files in operators' words with their golden trace
swarm        random faults by seed: safety, then heal and demand convergence
trace        events and effects as bytes: recordings of real processes, and their replay

Rules of this folder: nothing here decides for the cluster; no clock, no thread, no socket; chance comes from
`World.chance`; a twin says which real thing it stands for and what it leaves out.
"""
