# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha config`: whether the files of a node go together, and configurations of other programs made ours."""
