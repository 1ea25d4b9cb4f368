"""`python -m infra.package STAGE OUT ARCHITECTURE`: what `make package` runs."""

import sys
from pathlib import Path

from infra.package.package import package, require_runtime

require_runtime()
package(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
