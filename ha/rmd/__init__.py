# SPDX-License-Identifier: GPL-2.0-or-later
"""rmd, the root supervisor: forks every worker, restarts the dead at once and the hung after their deadline.

It embeds `supervisor` (its stanzas, its states, its supervisorctl) and replaces what that does in whole seconds or by
exec. It has no threads. It and apphbd watch each other.
"""
