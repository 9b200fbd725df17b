"""What may be sent to the gateway, and what its answers mean. Pure: no I/O.

- What is sent: ``endpoints`` is the table of what the gateway offers. ``validation`` checks the arguments of calls,
  ``money`` converts amounts, ``signing`` signs, and ``pages`` makes the URLs for browsers.
- What is received: ``reply`` is the bytes, ``jsontext`` reads them, ``fields`` and ``conversion`` read the values, and
  ``decoding`` goes through these steps. ``consistency`` decides whether a reply is believed, by its ``context``, which
  is what was sent; ``expectation`` decides whether an answer is about the sale that was asked about. ``http_date``
  reads times in headers, and ``redaction`` takes secrets out of what is shown.
- ``notifications`` are parsed, and compared with the gateway's answer.
"""
