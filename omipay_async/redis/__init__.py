"""The backend for several processes: claims, records and wake-ups in Redis (extra ``redis``).

There is one key per order. A key that does not exist means FREE, the value ``done`` means DONE and ``:owner`` means
HELD; Redis itself lets keys expire. Each request is one Lua script, so it is atomic, and it may be repeated, so that a
lost answer does no harm. Wake-ups are published on one channel per prefix.

A Redis that loses data loses records of success too, and the handler may run again. Data is lost by a restart without
persistence, by a failover to a replica that lags, and by the eviction of keys when the memory is full. So give it
persistence and the policy ``noeviction``, and let each handler be one transaction that does no harm when repeated.

``backend`` has the class. ``clients`` makes its client of a URL, or checks one of the user's, and ``failures`` says why
a request failed.
"""

from .backend import RedisBackend

__all__ = ["RedisBackend"]
