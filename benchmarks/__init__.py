"""What the library costs, compared with code that people write by hand: ``python -m benchmarks``.

Every figure is a ratio inside one run, its sides interleaved block by block, so that a noisy machine is noisy for all
of them; the gateway is a canned one in a process of its own. Nothing fails here: a missed target is a line in a table.
"""
