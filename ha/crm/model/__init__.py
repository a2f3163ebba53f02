# SPDX-License-Identifier: GPL-2.0-or-later
"""What the crmd knows: cluster options, the status section's form, operation history, the takeover grace."""

FEATURE_SET = "3.19.5"
"""The CRM feature set whose graph and history forms we write (Pacemaker's numbering)."""
