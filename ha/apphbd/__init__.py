# SPDX-License-Identifier: GPL-2.0-or-later
"""apphbd: takes a beat from every worker's loop and pets the kernel's watchdog while rmd is well.

First up and last down. It and rmd watch each other: a frozen apphbd is killed and forked again by rmd; a frozen or dead
rmd is replaced by apphbd, which becomes the new one (see `io.rmd`).
"""
