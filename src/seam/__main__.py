"""`python -m seam` is the same as `seam`."""

from seam.cli.main import main

if __name__ == "__main__":
    main()
