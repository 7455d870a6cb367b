"""Let ``python -m dynfocus.cli`` run the command line."""

import sys

from dynfocus.cli.edge import main

sys.exit(main())
