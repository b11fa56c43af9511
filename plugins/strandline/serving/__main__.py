"""The agent beside serving processes: `python -m strandline.serving`."""

import sys

from strandline.serving import agent

sys.exit(agent.main())
