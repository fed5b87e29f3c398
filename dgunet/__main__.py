"""Run the command line with ``python -m dgunet``."""

from dgunet.cli import main

if __name__ == "__main__":
    main()
