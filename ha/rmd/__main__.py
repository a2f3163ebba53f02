# SPDX-License-Identifier: GPL-2.0-or-later
import sys

from ha.rmd.daemon import main_cli

sys.exit(main_cli())
