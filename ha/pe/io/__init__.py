# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy engine's hands.

decisions   deciding apart from the loop, and keeping every input for replay
collector   the garbage collector while a decision is made
"""
