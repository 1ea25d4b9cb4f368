"""`python -m infra.package STAGE OUT ARCHITECTURE`: what `make package` runs."""

import sys
from pathlib import Path

from infra.package import package

package.require_runtime()
stage, out, architecture = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
package.package(stage, out, architecture)
for name in (package.TEMPLATE, package.ARTIFACT):
    path = out / name
    sys.stdout.write(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB)\n")
