"""One call, from its first attempt to its result.

``gateway`` makes a call of a method's arguments, ``executor`` runs it, and ``call_state`` is how far it has got.
``nodes`` tells which one is tried, ``gateway_time`` is the time that it is signed with, ``retries`` decides whether a
failed attempt is repeated, and ``outcomes`` what an error says about the money. ``journaling`` writes money calls down,
and ``observer`` reports calls. ``lifecycle`` is the life of the session: every component asks it whether something may
begin.
"""
