"""Give a registered bundle of the first format its graph, and register what comes of it: `make convert VERSION=...`.

The weights are the same, and so is what it answers; it is another version all the same, for its bundle is another.
"""

import shutil
import sys

import strandline_contract as contract
from local.build import bundles
from strandline import ledger, settings
from strandline.models import registry, versions
from strandline.models.bundles import BundleError, verify


def main(given: str) -> int:
    if not given:
        print("make convert VERSION=<the version, or the first digits of it>", file=sys.stderr)
        return 1
    if not bundles.use_ledger(settings.load()):
        return 1
    return convert(settings.get(), given)


def convert(config: settings.Settings, given: str) -> int:
    """Convert the version whose id begins so; 1, and a sentence, if there is none or nothing to convert."""
    try:
        with ledger.connect("training") as connection:
            found = versions.find(connection, given)
        reference = contract.BundleRef(found["bundle"], found["version"])
        manifest = verify(contract.store_path(config.store, reference.path), reference.version)
    except (ledger.Unreachable, versions.VersionError, BundleError) as error:
        print(error, file=sys.stderr)
        return 1
    if contract.GRAPH_FILE in manifest.files:
        print(f"Version {reference.version} has its {contract.GRAPH_FILE}: there is nothing to convert.")
        return 0
    folder = config.home / "converted" / reference.version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    request = contract.ConvertRequest(reference, config.vision.cores)
    contract.write_json(folder / contract.REQUEST_FILE, request.to_dict())
    if bundles.run_command(config, "convert", folder):
        return 1  # it has said why
    contract.read_result(folder, "convert")
    try:
        version = registry.register(folder / contract.BUNDLE_FOLDER, "make convert")
    except (ledger.Unreachable, BundleError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{manifest.name} is registered as model version {version}, beside {reference.version}: {bundles.NEXT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
