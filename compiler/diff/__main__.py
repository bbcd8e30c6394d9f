"""`python -m compiler.diff A B`."""

from compiler.diff.command import main

if __name__ == "__main__":
    main()
