"""``python -m omipay_async``: the same as ``omipay``."""

from __future__ import annotations

import sys

from omipay_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
