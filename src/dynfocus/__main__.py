"""``python -m dynfocus``: the command line."""

import sys

from dynfocus.cli import main

sys.exit(main())
