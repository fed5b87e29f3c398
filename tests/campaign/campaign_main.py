"""Command line of the campaigns: run one, print its faults, and exit with 1 if there are any."""

import argparse
import sys


def run_campaign(campaign, *, description, names, option, default, option_help, unit):
    """Parse the command line, run ``campaign`` and exit.

    Args:
        campaign: takes the requested names and the value of ``option``; returns the number of
            trials and the faults by name.
        description: of the script.
        names: of the steps or targets that may be requested; all by default.
        option: name of the integer option that limits the campaign.
        default: its default.
        option_help: its help.
        unit: what the trials are called.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument(option, dest="limit", type=int, default=default, help=option_help)
    requested = parser.parse_args()
    if unknown := sorted(set(requested.names) - set(names)):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(names)}")
    count, faults = campaign(set(requested.names), requested.limit)
    for name, found in faults.items():
        for fault in found:
            print(f"{name}: {fault}")
    total = sum(map(len, faults.values()))
    print(f"{count} {unit}, {total} faults")
    sys.exit(bool(total))
