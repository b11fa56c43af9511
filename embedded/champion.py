"""Register the bundles that come with the checkout, and make the first of them the champion where there is none.

`python -m embedded.champion`, in the environment of the stack.
"""

import sys

from strandline import registry, settings

BY = "make up"


def main() -> int:
    bundles = sorted(path.parent for path in (settings.REPOSITORY / "models").glob(f"*/{registry.MANIFEST}"))
    if not bundles:
        print("models/ holds no bundle: without a champion, ingest_images cannot run.")
    for bundle in bundles:
        version = registry.register(bundle, BY)
        installed = registry.install_first(version, BY)
        print(f"Model {bundle.name}, version {version[:12]}{', is the champion' if installed else ''}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
