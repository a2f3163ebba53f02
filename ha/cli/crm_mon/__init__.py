# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_mon`: the state of the cluster, once or for as long as one looks.

command      options, live display
history      the operation history
text_report  for people
xml_report   for programs
"""

from ha.cli.crm_mon.command import main

__all__ = ["main"]
