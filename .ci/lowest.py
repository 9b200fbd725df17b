"""Print the lowest versions that pyproject.toml declares for what the package needs, as constraints for pip."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OF_USERS = [*PROJECT["dependencies"], *(need for name, needs in EXTRAS.items() if "dev" not in name for need in needs)]

for need in sorted(set(OF_USERS)):
    if found := re.match(r"(?P<name>[\w.-]+)(\[[^\]]*\])?>=(?P<lowest>[\d.]+)", need):
        print(f"{found['name']}=={found['lowest']}")
