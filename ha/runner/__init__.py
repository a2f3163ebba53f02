# SPDX-License-Identifier: GPL-2.0-or-later
"""Runners: one small process per agent call, which outlives the worker that ordered it.

A worker (lrmd, stonithd) may be killed at any instruction. The agent it has started must not notice: no agent is
interrupted, run twice, or has its result lost. So the worker never is the agent's parent.

    worker ──job id──► fork server ──fork──► runner ──spawn──► agent (own process group)
       ▲                                       │
       └── pidfd becomes readable,             └── claim, result: files in the spool
           result file is read

* `spool` is a directory of files, every one written whole or not at all: the job as ordered, the claim of the runner
  that took it, the result. The worker's records of its own live beside them.
* `server` is forked by the worker before it has threads, so every later fork is safe and quick (no exec of a new
  interpreter). It ends with the worker; the runners go on.
* `process` is the runner: it starts the agent, bounds its time and its output, and writes the result.
* `runners` is the worker's side: start, await, kill.
* `places` says where agents are found and what surrounds them.

A restarted worker finds the jobs in the spool. A job is run by whoever creates its claim (link(2), atomic): either a
runner, or the restarted worker, which thereby revokes it. So it never runs twice, and never not at all unnoticed.

The spool lies in the run directory, which is empty after a boot: results of an earlier life of the machine mean
nothing. Nothing is fsynced, for it need only survive processes.

This package knows nothing of the meaning of agents, and imports nothing of the cluster manager but `ha.root`.
"""
