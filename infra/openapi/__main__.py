"""`python -m infra.openapi`: what `make docs` runs."""

import sys
from pathlib import Path

from infra.openapi.description import FILE, encoded

FILE.write_text(encoded(), "utf-8")
sys.stdout.write(f"Wrote the OpenAPI document: {FILE.relative_to(Path.cwd())}\n")
