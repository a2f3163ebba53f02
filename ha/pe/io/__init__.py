# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy engine's hands.

decisions   deciding apart from the loop, and keeping every input for replay
kept_cib    the CIB and what is known of it, kept from one decision to the next
collector   the garbage collector while a decision is made
"""
