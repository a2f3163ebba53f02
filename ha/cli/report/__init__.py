# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha report` (and `crm_report`): the evidence of an incident in one file, with no secret in it.

masking   which values are secret, and texts without them     pure
evidence  what a node has to show
archive   the tar file and its manifest; other nodes' reports in it
command   the command lines
"""
