"""`python -m compiler.impact`."""

from compiler.commands.impact import main

if __name__ == "__main__":
    main()
