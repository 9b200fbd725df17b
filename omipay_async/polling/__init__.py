"""Waiting until an order is paid, or until a refund has arrived.

``methods`` are what users call, and ``service`` runs one poll for them. ``poller`` serves all polls: ``subject`` is
the state of each, ``scheduler`` chooses what is asked about next, and ``timetable`` knows what is due.
"""
