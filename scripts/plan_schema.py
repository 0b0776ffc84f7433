"""Write docs/reference/plan.schema.json: `python scripts/plan_schema.py`."""

from __future__ import annotations

import json
from pathlib import Path

from cohelix.wire.plan import plan_schema

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "plan.schema.json"

if __name__ == "__main__":
    PAGE.write_text(json.dumps(plan_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
