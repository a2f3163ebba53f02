# SPDX-License-Identifier: GPL-2.0-or-later
"""What stonithd knows: devices and levels of the configuration, fence agents' contract, its requests and records."""
