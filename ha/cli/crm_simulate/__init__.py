# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_simulate`: what the cluster would do, and how it would look afterwards.

options        the command line, and what is wrong with it
command        the order in which things are done
report         what is told: lines for people, elements for programs
status         how the cluster looks, in both forms
scores         the scores, as the engine reports them
summary        the transition in one item per resource
dot            the transition as a picture for Graphviz
play           the transition played against a copy of the CIB
injections     made-up events
edited_cib     the copy of the CIB, and how results get into it
"""

from ha.cli.crm_simulate.command import main

__all__ = ["main"]
