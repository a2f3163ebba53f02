# SPDX-License-Identifier: GPL-2.0-or-later
"""A small machine of its own, to be reset by its watchdog: QEMU with Debian's kernel and this host's files, read-only.

`machine` finds what is needed and runs it, `initramfs` is what its kernel starts from. Needs no privileges and no
KVM: everything is emulated, so its clock is slow to start (a quarter of a minute) and its times are coarse.
"""
