# SPDX-License-Identifier: GPL-2.0-or-later
"""What the LRM knows: agent classes and their contracts, exit codes, requests to its io, its records."""
