"""`python -m infra.local`: what `make run` starts."""

import signal

# Until the service runs, Ctrl-C ends its start at once and says nothing.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from infra.local.run import main  # noqa: E402 - it takes seconds

main()
