# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha timeline`: one account of an incident from the logs of all nodes.

`log_lines` reads logs, `events` recognises what matters in them, `causality` puts the events of several nodes in order,
`incidents` merges what several processes said of one event and finds the incidents, `report` tells them.
"""
