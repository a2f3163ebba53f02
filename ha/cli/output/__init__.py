# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands print: lines for people, elements for programs, in the forms that Pacemaker's clients know."""
