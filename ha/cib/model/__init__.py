# SPDX-License-Identifier: GPL-2.0-or-later
"""What the CIB is: the document and its bytes, its versions, its rules, the ways to change it and to ask it."""
