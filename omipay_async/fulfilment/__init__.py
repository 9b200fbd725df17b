"""Notifications, and the handler that runs once for each paid order.

``methods`` are what users call, and ``receiver`` goes through the steps: ``confirmations`` asks the gateway about the
orders that notifications name, ``announcements`` tells everybody that an order is paid, and ``guard`` runs its handler
once: it begins ``runs``, or waits for them. ``handlers`` checks what users give before it is needed. ``backends`` has
the contract of those that keep the claims of the guard, ``memory`` is the one for a single process, and ``leases`` is
how a run holds a claim. ``waits`` are for tills that know only the ``out_order_no`` of an order. Other processes learn
that an order is paid by ``notes``, and at once by ``wakeups``; a backend whose listening for these fails waits for one
of its ``pauses``.
"""
