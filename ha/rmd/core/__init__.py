# SPDX-License-Identifier: GPL-2.0-or-later
"""What rmd decides, without a clock: when a dead worker is started again, and whether apphbd is frozen."""
