"""`python -m minibert`: see minibert/cli/main.py."""

from minibert.cli.main import leave, main

if __name__ == "__main__":
    leave(main())
