"""What the forkserver imports at its start, and nobody else.

Every child inherits the pipe by which the forkserver notices that its worker is gone, so that a child which hangs would
keep it alive, and with it itself.
"""

from fettle.host.parent_death import die_with_parent

die_with_parent()

import worker.training.process.preload  # noqa: E402, F401 — it is imported for those who are forked
