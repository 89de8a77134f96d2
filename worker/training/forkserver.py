"""What the forkserver imports at its start, and nobody else.

Every child inherits the pipe by which the forkserver notices that its worker is gone, so that a child which hangs would
keep it alive, and with it itself.
"""

from worker.training import lifeline

lifeline.tie()

import worker.training.preload  # noqa: E402, F401
