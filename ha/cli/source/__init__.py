# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands read: the CIB of the cluster or of a file, the cluster as it follows from it, lengths of time."""
