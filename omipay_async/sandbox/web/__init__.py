"""The sandbox over HTTP: its ASGI app, and the pages that people see, which are the dashboard and the pay pages.

``routing`` finds out which page or endpoint a request is for, and ``app`` answers it. ``pay_page`` is for customers.
``dashboard`` is for developers: its overview has the tables of ``lists``, and ``details`` are pages of one order or
call, with the call as a program (``snippets``). All pages are made of the pieces in ``html``, with the style sheet and
the scripts beside it, and translated by ``translations``.
"""
