"""A simulated world: whole shops in one program, with every kind of failure, all of it decided by a seed.

A world has a gateway (the sandbox) and a database (SQLite, with the real ``Books``). Customers pay or do not, and
strangers post forged, captured and reflected notifications. One merchant has three processes:

- a till scans payment codes, waits, fulfils and refunds;
- a shop makes QR orders and receives notifications;
- a worker sweeps.

Requests and replies are lost, delayed, changed and swapped. Statements stall and fail. Clocks are wrong and jump, and
the machine stands still. Handlers raise, tasks are cancelled, sessions are closed, and processes are killed at any step
and started again.

All time is virtual (``loop``), and all randomness comes from one number, the seed. The same seed is the same world to
the last step, on every machine with the same versions of Python and of the packages.

**What must be true** (``invariants``, ``shop``):

- One call makes at most one order or refund, and there is one event for each call.
- No false NOT_DONE: what an error, an event or the journal reports as not done has not happened.
- No false PAID: an order that is reported as paid, to a caller or a handler, is paid, and is the right one.
- A payment has its effect at most once, and an order that was not paid has none.
- Every paid order that is in the books under its own sale, or whose notification was answered SUCCESS, has its effect.
- No money moves without an entry in the journal.
- Every call ends in its time, also if it is cancelled, if the store stalls and if the session is closed.
- A closed session leaves no task, no connection and no open reply, and a world without crashes leaves no timer.

**How to use it**::

    python -m tests.simulation --seeds 100000 --jobs 2    # many worlds, until a rule is broken
    python -m tests.simulation --seed 4711                # one world, with all that happens in it
    python -m tests.simulation --break repeat-money       # with a rule of the library broken on purpose (``breaks``)

Several machines with different clocks on PostgreSQL, the bytes of connections (``tests/transport``), and a second node
of the gateway are not simulated. A reply that has no number of its call is not swapped, since no client could notice.
"""
