"""Whether the committed champion says the same by every backend and precision of a CPU: `make parity`.

`measure` runs in the vision environment: CIFAR-10's 10,000 test images, packed once, and `vision parity` on them.
`page` decides on what came of it as `check_parity` does, and writes docs/parity.md.
"""

import argparse
import os
import shutil
from pathlib import Path

import strandline_contract as contract
from strandline import settings

NAME = "cifar_resnet20_v1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("measure", "page"))
    parser.add_argument("--store", type=Path, default=settings.get().home / "parity")
    parser.add_argument("--page", type=Path, default=settings.REPOSITORY / "docs/parity.md")
    arguments = parser.parse_args()
    if arguments.step == "measure":
        measure(arguments.store)
    else:
        from local.bench import parity_page

        report = contract.ParityReport.from_json(contract.read_file(arguments.store / "parity" / contract.PARITY_FILE))
        load = float((arguments.store / "load").read_text())
        arguments.page.write_text(parity_page.render(NAME, report, load))
        print(f"{arguments.page} is written.")


def measure(store: Path) -> None:
    """Compare all runtimes with MXNet; the result lies in `store`."""
    from local.build.train_champion import Maker

    config = settings.get()
    maker = Maker(store, config)
    images = maker.pack("test")
    version = contract.sha256_file(settings.REPOSITORY / "models" / NAME / contract.BUNDLE_MANIFEST)
    if not (store / version).is_dir():
        shutil.copytree(settings.REPOSITORY / "models" / NAME, store / version)
    shutil.rmtree(store / "parity", ignore_errors=True)  # what was measured before
    today = config.vision.runtime()
    runtimes = [
        contract.Runtime(backend, today.threads, today.batch_size, precision)
        for backend, precisions in contract.PRECISIONS.items()
        for precision in precisions
    ]
    reference = contract.Runtime("mxnet", today.threads, today.batch_size)
    asked = {"reference": reference.to_dict(), "runtimes": [one.to_dict() for one in runtimes if one != reference]}
    load = os.getloadavg()[0]
    maker.run("parity", "parity", {"bundle": {"path": version, "version": version}} | images | asked)
    (store / "load").write_text(str(load))


if __name__ == "__main__":
    main()
