# SPDX-License-Identifier: GPL-2.0-or-later
import sys

from ha.cli.crm_simulate import main

sys.exit(main())
