"""`python -m modelboot`."""

from __future__ import annotations

import sys

from modelboot._cli import main

sys.exit(main())
