"""Let an application ask, or refuse it: `make consumer NAME=shop RATE=50`, `make revoke NAME=shop`.

The ledger is the local one, or that of STRANDLINE_DATABASE_URL.
"""

import argparse
import getpass
import os
import sys

from local.stack import databases
from strandline import ledger, settings
from strandline.errors import PermanentError
from strandline.serving import consumers

RATE = 50.0  # requests a second, if nobody says another


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="consumer", description=__doc__)
    parser.add_argument("command", choices=["create", "revoke"])
    parser.add_argument("--name", required=True)
    parser.add_argument("--rate", default="")
    parser.add_argument("--version", default="")
    options = parser.parse_args(argv)
    config = settings.load()
    if not config.database_url:
        os.environ["STRANDLINE_DATABASE_URL"] = databases.ledger_url(config)
        settings.get.cache_clear()
    try:
        print(_create(options) if options.command == "create" else _revoke(options))
    except (ledger.LedgerError, PermanentError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _create(options: argparse.Namespace) -> str:
    rate = float(options.rate or RATE)
    token = consumers.create(options.name, rate, getpass.getuser(), options.version or None)
    print(f"{options.name} may ask {rate:g} times a second, with this token. It is shown this once:", file=sys.stderr)
    return token


def _revoke(options: argparse.Namespace) -> str:
    consumers.revoke(options.name, getpass.getuser())
    return f"{options.name} may ask no more: its token ends within seconds."


if __name__ == "__main__":
    sys.exit(main())
