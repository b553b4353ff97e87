"""`python -m modelboot`."""

from __future__ import annotations

import sys

from modelboot.cli import main

sys.exit(main())
