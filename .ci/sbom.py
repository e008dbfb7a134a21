"""Write what requirements.lock installs as a CycloneDX document: dist/seam.cdx.json.

The same lock gives the same bytes. pip-audit writes such documents too, but leaves out what its
advisory service does not know: all of it, where there is no network.
"""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
ENTRY = re.compile(r"^([\w.-]+)==([^\s;\\]+)((?:.*\\\n)*.*)$", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def component(name: str, version: str, rest: str) -> Component:
    """A package; the hashes are those of all files that may be installed for this version."""
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"{name}=={version}",
        purl=PackageURL("pypi", None, name, version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=h) for h in HASH.findall(rest)],
    )


def document(lock: str) -> str:
    """The lock as CycloneDX 1.6; without a clock, so that it can be compared."""
    digest = hashlib.sha256(lock.encode()).digest()
    bom = Bom(
        components=[component(*entry) for entry in ENTRY.findall(lock)],
        serial_number=uuid.UUID(bytes=digest[:16], version=4),
    )
    bom.metadata.timestamp = datetime.fromtimestamp(0, UTC)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)


def main() -> None:
    """Write the document; the folder may be given."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist") / "seam.cdx.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(document((ROOT / "requirements.lock").read_text("utf-8")) + "\n", "utf-8")
    print(out)


if __name__ == "__main__":
    main()
