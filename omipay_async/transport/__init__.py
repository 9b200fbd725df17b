"""One attempt on the wire. Of the client, only this package uses httpx, httpcore and h11.

``pool`` lends a call a slot. ``attempt`` is what the call sends, and how far that has got. ``client`` chooses the way
to the gateway, and turns whatever goes wrong into one of the ``failures``; ``evidence`` knows what an exception
proves.

- Over connections of our own: ``network`` opens them and sends, and ``names`` looks the gateway's name up.
  ``connection`` is one of them, ``exchange`` is a request and its reply, and ``tls_records`` watches what arrives below
  TLS.
- Over transports that are not ours, those that users give and httpx's own: ``requests`` builds the request, and
  ``sending`` sends it. ``httpcore_reports`` is how far httpcore says that it has got. ``given_transports`` makes what
  users give safe for money: ``aiohttp_connections`` and ``curl_connections`` keep these libraries from using a
  connection again, and ``repeats`` keeps transports from repeating money calls.
- For programs that have patched httpx or httpcore: ``patches`` notices it, and has a transport that they see.
  ``session_client`` is ``omipay.http``, and sends requests through a client that they see.

``cancellation`` ends what takes too long, and ``closing`` closes connections in the background. ``proxies`` and ``tls``
read the settings of the machine.
"""
