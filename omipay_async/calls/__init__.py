"""One call, from its first attempt to its result.

``gateway`` makes a call of a method's arguments, ``executor`` runs it, and ``call_state`` is how far it has got.
``nodes`` tells which one is tried, ``gateway_time`` is the time that it is signed with, ``retries`` decides whether a
failed attempt is repeated, and ``outcomes`` what an error says about the money. ``journaling`` writes money calls down,
and ``observer`` reports calls. ``lifecycle`` is the life of the session: every component asks it whether something may
begin.

The way of a call from a method of the session to the bytes, and back to its result:

=================================  ========================================================
``EndpointMethods.make_qr_order``  ``api`` gives names to the arguments
``Gateway.call``                   checks them
``query``                          ``protocol.validation`` makes the query string
``CallExecutor.call``              waits for a slot, and makes attempts
``HTTPClient.exchange``            ``transport.client`` chooses the way to the gateway
``Credentials.sign``               ``protocol.signing`` signs the request that leaves now
``Network.exchange``               ``transport.network`` has a connection, or opens one
``Connection.send``                writes the request
``Exchange.receive``               reads the reply, by means of h11
``CallExecutor._read``             decides what follows from it
``decode``                         ``protocol.decoding`` makes a model or an error of it
``CallObserver.call_ended``        reports the end
=================================  ========================================================
"""
