"""A simulated world: whole shops in one program, with every kind of failure, all of it decided by a seed.

A world has a gateway (the sandbox), a database (SQLite, with the real ``Books``), and three processes of one merchant:
a till that scans payment codes, waits, fulfils and refunds; a shop that makes QR orders and receives notifications; and
a worker that sweeps. Outside are customers who pay or do not, and strangers who post forged, captured and reflected
notifications. Requests and replies get lost, late, changed and swapped; statements stall and fail; clocks are wrong and
jump, and the machine stands still; handlers raise; tasks are cancelled, sessions closed, and processes killed at any
step and started again.

All time is virtual (``loop``), and all chance comes from one number, the seed: the same seed is the same world to the
last step, on every machine with the same versions of Python and of the packages.

**What must be true** (``invariants``, ``shop``):

- No order and no refund is acted on twice by one call, and each call is told of once by events.
- No false NOT_DONE: what an error, an event or the journal calls not done has not happened.
- No false PAID: whoever is given a paid order, a handler too, is given one that is paid, and the right one.
- No payment takes effect twice, and none that was not made.
- Every paid order whose number the books were told, or whose notification was answered SUCCESS, takes effect.
- No money moves that is not in the journal.
- Every call ends in its time, also when it is cancelled, when the store stalls and when the session is closed.
- A closed session leaves no task, no connection and no open reply, a world without crashes no timer.

**How to use it**::

    python -m tests.simulation --seeds 100000 --jobs 2    # many worlds, until a promise is broken
    python -m tests.simulation --seed 4711                # one world, with all that happens in it
    python -m tests.simulation --break repeat-money       # with a rule of the library broken on purpose (``breaks``)

Not simulated: several machines with different clocks on PostgreSQL, the bytes of connections (``tests/transport``), and
two gateways' nodes. A reply that names nothing of its call could be swapped without anybody noticing, so none is.
"""
